"""Files are written whole or not at all, and errors name the path and what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from segnet_live.errors import OutputError
from segnet_live.system.files import free_path, partial_path, read_regular, replace_atomically, write_atomically


def test_a_file_is_replaced_in_one_step_and_its_folder_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    write_atomically(path, "old")
    with replace_atomically(path) as scratch:
        scratch.write_text("new")
        assert path.read_text() == "old"
        assert list(path.parent.glob("*.json")) == [path]  # nobody takes the unfinished file for a finished one
    assert path.read_text() == "new"
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_atomically(path, b"old")

    def break_off() -> None:
        with replace_atomically(path) as scratch:
            scratch.write_text("unfinished")
            raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        break_off()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_that_is_a_file_is_one_error_with_advice(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/deep/a\.txt cannot be written") as caught:
        write_atomically(tmp_path / "file" / "deep" / "a.txt", "x", advice="choose another folder")
    assert caught.value.advice == "choose another folder"
    assert str(caught.value).endswith("; choose another folder")


def test_a_free_name_is_never_an_existing_one(tmp_path: Path) -> None:
    path = tmp_path / "drive.mp4"
    assert free_path(path) == path
    for expected in ("drive-2.mp4", "drive-3.mp4"):
        free_path(path).touch()
        assert free_path(path).name == expected
    partial_path(tmp_path / "drive-3.mp4").touch()
    assert free_path(path).name == "drive-4.mp4"
    (tmp_path / "dead.mp4").symlink_to(tmp_path / "nowhere")
    assert free_path(tmp_path / "dead.mp4").name == "dead-2.mp4"


def test_a_growing_output_keeps_its_extension() -> None:
    assert partial_path(Path("a/OUT.MP4")) == Path("a/OUT.partial.mp4")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_only_files_are_read_and_only_to_their_bound(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_regular(path, 5) == b"12345"
    with pytest.raises(OSError, match="it has 0 MiB"):
        read_regular(path, 4)
    with path.open("wb") as huge:
        huge.truncate(1 << 40)
    with pytest.raises(OSError, match=r"it has 1,048,576 MiB; at most 4 are read"):
        read_regular(path, 1 << 22)
    os.mkfifo(tmp_path / "pipe")
    for strange in ("pipe", "/dev/zero", "/dev/null"):
        with pytest.raises(OSError, match="a pipe or a device"):
            read_regular(tmp_path / strange, 1 << 20)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "none", 1)

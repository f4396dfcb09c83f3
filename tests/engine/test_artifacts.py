"""The store of compiled artefacts: found by their key fields or not at all, and never an error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from segnet_live.engine import artifacts
from segnet_live.engine.artifacts import ENGINE, ArtifactStore, Fields, clear, key, set_aside

FIELDS: Fields = {
    "weights": "ab12",
    "size": (352, 480),
    "precision": "fp16",
    "driver": "580.1",
    "mean": (0.4, 0.4, 0.4),
}
BLOB = bytes(range(256)) * 64
FOREIGN = json.dumps({"key_fields": {}, "sha256": {}, "metadata": {}})
FILES = {ENGINE: BLOB, ".notes": b"of it"}


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    store = ArtifactStore(tmp_path)
    assert store.save(FIELDS, {"parity": {"overall": 0.999}}, FILES)
    return store


def test_what_was_stored_comes_back(store: ArtifactStore) -> None:
    entry = store.load(FIELDS)
    assert entry is not None
    assert (entry.files, entry.metadata) == (FILES, {"parity": {"overall": 0.999}})
    assert entry.manifest is not None
    assert entry.manifest.with_suffix(ENGINE).read_bytes() == BLOB


@pytest.mark.parametrize("name", FIELDS)
def test_any_other_field_is_another_engine(store: ArtifactStore, name: str) -> None:
    other = FIELDS | {name: "other"}
    assert key(other) != key(FIELDS)
    assert store.load(other) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: next(folder.glob("*.engine")).write_bytes(BLOB[:-1] + b"x"),
        lambda folder: next(folder.glob("*.engine")).write_bytes(BLOB[:100]),
        lambda folder: next(folder.glob("*.engine")).unlink(),
        lambda folder: next(folder.glob("*.json")).write_text("{"),
        lambda folder: next(folder.glob("*.json")).write_text("[]"),
        lambda folder: next(folder.glob("*.json")).write_text(
            json.dumps({"key_fields": {}, "sha256": {}, "metadata": {}})
        ),
    ],
    ids=["changed", "cut", "gone", "no JSON", "no object", "foreign"],
)
def test_damage_means_build_again_and_one_line(
    store: ArtifactStore, caplog: pytest.LogCaptureFixture, damage: object
) -> None:
    damage(store.folder)  # type: ignore[operator]
    assert store.load(FIELDS) is None
    assert len(caplog.records) == 1
    assert "it is made again" in caplog.text
    assert store.save(FIELDS, {}, FILES)
    assert store.load(FIELDS) is not None


def test_absence_is_no_news(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert ArtifactStore(tmp_path).load(FIELDS) is None
    assert not caplog.records


def test_an_interrupted_write_leaves_no_entry(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    written = os.replace

    def fails_at_the_manifest(source: str, target: Path) -> None:
        if str(target).endswith(".json"):
            raise OSError(28, "No space left on device")
        written(source, target)

    monkeypatch.setattr(os, "replace", fails_at_the_manifest)
    assert not store.save(FIELDS, {}, FILES | {ENGINE: b"newer"})
    assert store.load(FIELDS) is None
    assert list(store.folder.iterdir()) == [], "a full disk gets its room back"


def test_a_folder_that_cannot_be_written_costs_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    store = ArtifactStore(tmp_path / "file" / "gone")
    assert not store.save(FIELDS, {}, FILES)
    assert len(caplog.records) == 1
    assert "not kept" in caplog.text
    with store.making(FIELDS):
        pass


def test_two_processes_never_build_the_same_engine_at_once(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from segnet_live.engine.artifacts import ArtifactStore\n"
        f"with ArtifactStore(Path({str(tmp_path)!r})).making({FIELDS!r}):\n"
        "    print('inside', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline().strip() == b"inside"
    entered = threading.Event()

    def enter() -> None:
        with ArtifactStore(tmp_path).making(FIELDS):
            entered.set()

    thread = threading.Thread(target=enter)
    thread.start()
    assert not entered.wait(0.2)
    other.kill()  # a crash frees the lock, too
    other.communicate()
    assert entered.wait(30)
    thread.join()


def test_a_process_that_hangs_with_the_lock_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(artifacts, "LOCK_LIMIT_S", 0.01)
    held, done = threading.Event(), threading.Event()

    def hang() -> None:
        with ArtifactStore(tmp_path).making(FIELDS):
            held.set()
            done.wait(60)

    thread = threading.Thread(target=hang)
    thread.start()
    assert held.wait(60)
    with ArtifactStore(tmp_path).making(FIELDS):
        pass
    assert "cannot be locked" in caplog.text
    done.set()
    thread.join(60)


def test_what_is_made_anew_replaces_the_old_one_only_if_that_succeeds(store: ArtifactStore) -> None:
    def fail() -> None:
        assert store.load(FIELDS) is None
        raise OSError("full")

    with pytest.raises(OSError, match="full"), set_aside(store.load(FIELDS)):
        fail()
    assert store.load(FIELDS) is not None
    with set_aside(store.load(FIELDS)):
        store.save(FIELDS | {"precision": "fp32"}, {}, FILES)
    assert [entry.key_fields["precision"] for entry in store.entries()] == ["fp32"]
    assert len(list(store.folder.iterdir())) == 1 + len(FILES)
    with set_aside(store.load(FIELDS | {"precision": "fp32"})):
        store.save(FIELDS | {"precision": "fp32"}, {"new": 1}, FILES)
    assert store.entries()[0].metadata == {"new": 1}
    with set_aside(None):
        pass


def test_entries_are_listed_with_damage_shown(store: ArtifactStore) -> None:
    store.save(FIELDS | {"precision": "fp32"}, {}, FILES)
    next(store.folder.glob("*.json")).write_text("{")
    precisions = {entry.key_fields.get("precision") for entry in store.entries()}
    assert len(store.entries()) == 2
    assert None in precisions
    assert all(entry.size_bytes > len(BLOB) for entry in store.entries())


def test_clear_leaves_locks_which_another_process_may_hold(store: ArtifactStore) -> None:
    with store.making(FIELDS | {"precision": "int8"}):
        clear(store.folder)
        assert [path.suffix for path in store.folder.iterdir()] == [".lock"]


def test_clear_deletes_everything_below(store: ArtifactStore) -> None:
    (store.folder / "deeper").mkdir()
    (store.folder / "deeper" / "x").write_bytes(b"12")
    files, freed = clear(store.folder)
    assert (files, list(store.folder.iterdir())) == (4, [])
    assert freed > len(BLOB)

"""What is left of a recording becomes an ordinary mp4."""

from __future__ import annotations

import itertools
import os
import shutil
from fractions import Fraction
from pathlib import Path

import av
import pytest

from segnet_live.cli import main
from segnet_live.errors import OutputError
from segnet_live.system.files import hold, partial_path
from segnet_live.video.recorder import Recorder
from tests.support.clips import Clip, make, numbered, packets, times


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A partial file as a killed recording leaves it: 60 pictures with sound, cut in the middle of a packet."""
    source = make(tmp_path, Clip(name="source.mp4", frames=60, audio="aac"))
    recorder = Recorder(tmp_path / "out.mp4", (48, 64), time_base=Fraction(1, 25), rate=Fraction(25), audio_from=source)
    for number in range(60):
        recorder.write(numbered(number, 48, 64), number)
    copy = tmp_path / "copy"
    shutil.copy(recorder.partial, copy)
    recorder.abort()
    os.truncate(copy, copy.stat().st_size - 30)
    return copy.rename(partial_path(tmp_path / "out.mp4"))


def test_a_partial_file_becomes_an_ordinary_one(left: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = times(left)
    assert main(["repair", str(left)]) == 0
    finished = left.with_name("out.mp4")
    after = times(finished)
    assert len(after) in (len(before), len(before) - 1)  # the packet that was cut
    assert len(after) >= 25
    assert after[0] == 0
    assert [b - a for a, b in itertools.pairwise(after)] == [Fraction(1, 25)] * (len(after) - 1)
    assert abs(packets(finished, "audio")[0][0]) < Fraction(1, 10)
    with av.open(str(finished)) as container:
        assert container.streams.video[0].frames == len(after)  # an index, which a fragmented file has not
        assert sum(1 for _ in container.decode(video=0)) == len(after)
    assert not left.exists()
    assert str(finished) in capsys.readouterr().out


def test_the_same_command_again_offers_the_repair(left: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = ["--video", str(left.with_name("source.mp4")), "--headless", "--record", str(left.with_name("out.mp4"))]
    assert main(again) == 2
    said = capsys.readouterr().err
    assert f"segnet-live repair {left}" in said
    assert said.count("\n") == 1


def test_an_earlier_recording_is_left_alone(left: Path) -> None:
    left.with_name("out.mp4").write_bytes(b"earlier")
    assert main(["repair", str(left)]) == 0
    assert left.with_name("out.mp4").read_bytes() == b"earlier"
    assert len(times(left.with_name("out-2.mp4"))) > 20


def test_what_cannot_be_repaired_stays_and_says_why(left: Path, capsys: pytest.CaptureFixture[str]) -> None:
    release = hold(left.with_name("out.mp4"))
    assert main(["repair", str(left)]) == 2
    assert "is being written by another segnet-live" in capsys.readouterr().err
    release()
    content = left.read_bytes()
    for rubbish in (b"", content[:900], b"no video at all"):
        left.write_bytes(rubbish)
        assert main(["repair", str(left)]) == 2
        assert capsys.readouterr().err.count("\n") == 1
        assert left.read_bytes() == rubbish
    assert main(["repair", str(left.with_name("source.mp4"))]) == 2


def test_a_playlist_in_the_place_of_a_recording_leads_nowhere(left: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(left, left.with_name("other.mp4"))
    left.write_text("ffconcat version 1.0\nfile other.mp4\n")
    assert main(["repair", str(left)]) == 2
    assert "cannot be repaired" in capsys.readouterr().err
    assert left.read_text().startswith("ffconcat")


def test_two_recorders_never_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    first = Recorder(path, (48, 64), time_base=Fraction(1, 25))
    with pytest.raises(OutputError, match="being written by another"):
        Recorder(path, (48, 64), time_base=Fraction(1, 25), overwrite=True)
    for number in range(3):
        first.write(numbered(number, 48, 64), number)
    first.close()
    assert len(times(path)) == 3
    Recorder(path, (48, 64), time_base=Fraction(1, 25), overwrite=True).abort()

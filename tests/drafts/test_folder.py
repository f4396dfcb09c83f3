"""A drafts folder: who made what is known of every pair, and a guess never takes the place of a person's work."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from segnet_live.classes import CAMVID
from segnet_live.drafts.folder import DraftFolder, Record, draft_name, png
from segnet_live.errors import DataError, OutputError

RGB = np.full((8, 12, 3), 90, np.uint8)
GUESS = np.full((8, 12), 3, np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> DraftFolder:
    drafts = DraftFolder(tmp_path / "drafts")
    drafts.add("a", RGB, GUESS, CAMVID, Record("drive.mp4", 1.5, "tiny", "abc", {"flicker": 0.25}))
    return drafts


def test_two_videos_of_one_stem_do_not_collide_and_one_video_is_always_called_the_same(tmp_path: Path) -> None:
    first, second = tmp_path / "monday" / "drive.mp4", tmp_path / "tuesday" / "drive.mp4"
    assert draft_name(str(first), 1.25) != draft_name(str(second), 1.25)
    assert draft_name(str(first), 1.25) == draft_name(os.path.relpath(first), 1.25)
    assert draft_name("rtsp://host/live", 0.5).startswith("live-")


@pytest.mark.skipif(os.name == "nt", reason="names are text on Windows")
def test_a_video_whose_name_is_no_utf_8_has_drafts_too(folder: DraftFolder) -> None:
    source = os.fsdecode(b"sur\xff.mp4")
    name = draft_name(source, 1.25)
    assert name.isascii()
    assert name != draft_name(os.fsdecode(b"sur\xfe.mp4"), 1.25)
    folder.add(name, RGB, GUESS, CAMVID, Record(source, 1.25))
    assert {draft.record.source for draft in folder.drafts()} == {"drive.mp4", source}


def test_a_draft_knows_where_it_is_from_and_that_nobody_has_corrected_it(folder: DraftFolder) -> None:
    (draft,) = folder.drafts()
    assert not draft.is_corrected
    assert (draft.record.source, draft.record.model, draft.record.made_by) == ("drive.mp4", "tiny", "model")
    assert draft.record.why == {"flicker": 0.25}
    assert np.array_equal(draft.labels(), GUESS)
    assert np.array_equal(draft.rgb(), RGB)


def test_a_guess_never_replaces_what_is_there(folder: DraftFolder) -> None:
    (draft,) = folder.drafts()
    mine = np.full_like(GUESS, 5)
    folder.save(draft, mine, done=True)
    with pytest.raises(OutputError, match="may have been corrected"):
        folder.add("a", RGB, GUESS, CAMVID, Record())
    (draft,) = folder.drafts()
    assert np.array_equal(draft.labels(), mine)
    assert np.array_equal(draft.guessed(), GUESS)


def test_only_a_frame_that_a_person_called_right_counts_as_corrected(folder: DraftFolder) -> None:
    (draft,) = folder.drafts()
    half = GUESS.copy()
    half[:, :6] = 5
    draft = folder.save(draft, half, done=False)
    assert (draft.record.made_by, draft.is_corrected) == ("begun", False)
    assert folder.drafts()[0].record.made_by == "begun"
    draft = folder.save(draft, half, done=True)
    assert (draft.is_corrected, draft.record.changed) == (True, 0.5)
    assert draft.record.corrected_at
    assert folder.save(draft, GUESS, done=False).is_corrected, "more changes do not take it back"


def test_pairs_labelled_elsewhere_and_guesses_changed_by_other_programs_are_a_persons(folder: DraftFolder) -> None:
    (folder.root / "train" / "b.jpg").write_bytes(png(RGB))
    (folder.root / "trainannot" / "b.png").write_bytes(png(GUESS))
    (folder.root / "trainannot" / "a.png").write_bytes(png(np.full_like(GUESS, 7)))
    first, second = folder.drafts()
    assert (first.record.made_by, second.record.made_by) == ("corrected", "labelled")
    assert second.image.name == "b.jpg"


def test_what_is_wrong_is_named(folder: DraftFolder, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no drafts"):
        DraftFolder(tmp_path).drafts()
    record = folder.root / "records" / "a.json"
    record.write_text(json.dumps({"made_by": "nobody"}))
    with pytest.raises(DataError, match=r"a\.json is damaged"):
        folder.drafts()
    record.unlink()
    (draft,) = folder.drafts()
    draft.annotation.write_bytes(b"no picture")
    with pytest.raises(DataError, match="no label map"):
        draft.labels()

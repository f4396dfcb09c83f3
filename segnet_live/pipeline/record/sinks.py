"""Write a run's outputs besides its recording: label and confidence maps, statistics. No frame, no file."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TextIO

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.classes import ClassSet
from segnet_live.errors import OutputError, first_line
from segnet_live.frame import FrameResult
from segnet_live.quality import Confusion
from segnet_live.system.files import hold, make_new, partial_path, write_atomically

CONFIDENCE_COLUMNS = ("confidence", "unsure", "variance")
"""Of `Stats`: the mean confidence, the share of pixels below one half, and the mean variance between samples."""
NUMBERED = re.compile(r"\d{6,}\.png")
"""What `LabelMaps` calls the maps of frames that have no name."""
DISAGREEMENT_COLUMN = "disagreement"
"""Of `Stats`: the share of pixels on which the two engines of a comparison differ."""


class Sink(Protocol):
    """An output for segmented frames. Owned by the writer thread from the first frame on."""

    def write(self, result: FrameResult) -> None:
        """Write one frame.

        Raises:
            OutputError: it could not be kept; nothing more will be.
        """
        ...

    def close(self, *, whole: bool) -> None:
        """Give what was written its final name; leave no file where nothing was written.

        Called once; after a failed `write` it keeps what can be kept. `whole` tells that the source came to its end and
        every frame of it was written.

        Raises:
            OutputError: what was written could not be completed.
        """
        ...


class LabelMaps:
    """A folder of 8-bit single-channel PNGs of class ids, one per frame: 000000.png..., or the image's own stem.

    Args:
        use_names: False numbers the pictures of image sources as well.
        overwrite: maps that a longer run left in the folder are deleted when this one has come to its end.
    """

    what = "label maps"
    # Level 1 with run lengths: as fast as storing, and a hundredth of the size on label maps.
    options: tuple[int, ...] = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)

    def __init__(self, folder: Path, *, use_names: bool = True, overwrite: bool = False) -> None:
        self.folder = folder
        self.count = 0
        self._use_names, self._overwrite = use_names, overwrite
        self._numbered = False
        self._let_go: Callable[[], None] = lambda: None

    def write(self, result: FrameResult) -> None:
        name = result.frame.name if self._use_names else ""
        path = self.folder / f"{name or f'{self.count:06d}'}.png"
        self._numbered = not name
        if not self.count:
            self._let_go = hold(self.folder)
        png = cv2.imencode(".png", self._map(result), self.options)[1].tobytes()
        # Encoded in memory: cv2.imwrite cannot write names outside the code page on Windows.
        write_atomically(path, png, advice=f"the {self.count} {self.what} before it are kept")
        self.count += 1

    def _map(self, result: FrameResult) -> NDArray[np.uint8]:
        return result.labels

    def close(self, *, whole: bool) -> None:
        """Let go of the folder: each picture was complete once written."""
        if whole and self._overwrite and self._numbered:
            for path in self.folder.glob("*.png"):
                if NUMBERED.fullmatch(path.name) and int(path.stem) >= self.count:
                    path.unlink(missing_ok=True)
        self._let_go()

    def __str__(self) -> str:
        return f"{self.count} {self.what} in {self.folder}"


class ConfidenceMaps(LabelMaps):
    """A folder of 8-bit single-channel PNGs like those of `LabelMaps`, of confidences: 0 for a tie, 255 for certain."""

    what = "confidence maps"
    options = (cv2.IMWRITE_PNG_COMPRESSION, 1)

    def _map(self, result: FrameResult) -> NDArray[np.uint8]:
        assert result.confidence is not None, "the engine was opened with confidence"
        return result.confidence


class Stats:
    """A CSV file: frame, pts_s, latency_ms, then each class's share of the pixels (0..1), then what `extra` names.

    The latency is that from capture until the labels were ready.

    Empty cells of extra columns were not measured: the variance of a frame that the network skipped.

    Written as FILE.partial.csv line by line, and renamed when closed.
    """

    def __init__(self, path: Path, classes: ClassSet, extra: Sequence[str] = ()) -> None:
        self.path = path
        self._extra = extra
        self.count = 0
        self._classes = classes
        self._file: TextIO | None = None
        self._failed = False
        self._let_go: Callable[[], None] = lambda: None

    def write(self, result: FrameResult) -> None:
        try:
            if self._file is None:
                self._let_go = hold(self.path)
                # Line by line, so that all but the last line is there after a crash.
                make_new(partial_path(self.path))
                self._file = partial_path(self.path).open("w", newline="", encoding="utf-8", buffering=1)
                csv.writer(self._file).writerow(["frame", "pts_s", "latency_ms", *self._classes.names, *self._extra])
            times = f"{result.frame.pts_s:.6f}", f"{result.latency_ms:.3f}"
            shares = (f"{share:.6f}" for share in result.class_shares)
            extra = (_cell(result, column) for column in self._extra)
            csv.writer(self._file).writerow([self.count, *times, *shares, *extra])
        except OSError as error:
            self._failed = True
            raise OutputError(
                f"{self.path} cannot be written ({first_line(error)}); "
                f"the {self.count} rows before are kept in {partial_path(self.path)}"
            ) from error
        self.count += 1

    def close(self, *, whole: bool) -> None:
        if self._file is None:
            self._let_go()  # it is held where the file could not be made
            return
        try:
            self._file.close()
            if not self._failed:
                os.replace(partial_path(self.path), self.path)
        except OSError as error:
            self._failed = True
            raise OutputError(
                f"{self.path} cannot be completed ({first_line(error)}); see {partial_path(self.path)}"
            ) from error
        finally:
            self._let_go()

    def __str__(self) -> str:
        return f"{self.count} rows in {partial_path(self.path) if self._failed else self.path}"


def _cell(result: FrameResult, column: str) -> str:
    """Return one of CONFIDENCE_COLUMNS, or DISAGREEMENT_COLUMN, of a frame; empty where it has none."""
    value = {
        DISAGREEMENT_COLUMN: result.disagreement,
        "confidence": result.mean_confidence,
        "unsure": result.unsure_share,
        "variance": None if result.variance is None else float(result.variance.mean()),
    }[column]
    return "" if value is None else f"{value:.6f}"


class TruthScore:
    """Score label maps against the ground truth that the example drive knows: figures for the last line, no file."""

    def __init__(self, classes: int) -> None:
        self._confusion = Confusion(classes)

    def write(self, result: FrameResult) -> None:
        if result.frame.truth is not None:
            self._confusion.add(result.frame.truth, result.labels)

    def close(self, *, whole: bool) -> None:
        """Do nothing: the score is only printed."""

    def __str__(self) -> str:
        if not self._confusion.counts.any():
            return "no truth to compare with"
        scores = self._confusion.scores()
        return f"against the drive's truth: G {scores.global_accuracy:.1%}, mIoU {scores.miou:.1%}"

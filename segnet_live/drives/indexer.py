"""Collect the figures of a drive's frames while a run goes through it: the sink behind `--index`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from segnet_live.classes import ClassSet
from segnet_live.config import IndexPlace
from segnet_live.drives.index import DriveIndex, Facts, save_index
from segnet_live.engine.artifacts import Fields
from segnet_live.engine.base import EngineInfo
from segnet_live.frame import RGB, FrameResult, LabelMap, SourceInfo
from segnet_live.labels import class_shares
from segnet_live.planes import Planes

SAVE_EVERY_S = 60.0
"""A run that is killed loses at most this much work."""
_LOOK = (64, 36)
"""(width, height) at which two frames are compared."""


def look(rgb: RGB) -> NDArray[np.float32]:
    """Return a (36, 64) float32 grey picture, 0..1, of an (H, W, 3) frame: enough to tell two frames apart.

    Green alone, and only every n-th row and column before averaging: 0.1 ms instead of 2 ms for 1920x1080.
    """
    step = max(1, min(rgb.shape[0] // 144, rgb.shape[1] // 256))
    small = cv2.resize(np.ascontiguousarray(rgb[::step, ::step, 1]), _LOOK, interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / np.float32(255)


class Indexer:
    """A sink that makes the index of a file, and keeps it when the run ends, also early, and once a minute.

    Args:
        engine: returns the engine that runs, for the record.
        key: what the index is made of.
        place: where it is kept: the cache, beside the video, or a file of that name.
        before: the frames that an earlier run got through; this run goes on behind them.

    Attributes:
        index: of everything seen so far; None before the first frame.
        path: the file of the index, None while it is not kept.
    """

    def __init__(
        self,
        video: Path,
        key: Fields,
        engine: Callable[[], EngineInfo],
        *,
        place: IndexPlace | Path = "cache",
        before: DriveIndex | None = None,
    ) -> None:
        self._video, self._key, self._engine, self._place, self._before = video, key, engine, place, before
        self._rows: list[tuple[float, float, float, float]] = []
        self._shares: list[NDArray[np.float32]] = []
        self._last: tuple[NDArray[np.float32], LabelMap] | None = None
        self._origin: tuple[SourceInfo, ClassSet] | None = None
        self._began_s = self._saved_s = 0.0
        self.index: DriveIndex | None = before
        self.path: Path | None = None

    def write(self, result: FrameResult) -> None:
        """Count one frame.

        Raises:
            OutputError: the index cannot be kept beside the video.
        """
        now_s = time.monotonic()
        if self._origin is None:
            self._origin, self._began_s, self._saved_s = (result.source, result.classes), now_s, now_s
        seen = result.frame.picture
        picture = look(seen.rgb_at((144, 256)) if isinstance(seen, Planes) else seen)
        labels = result.network_labels
        motion = change = 0.0
        if self._last is not None:
            motion = float(np.abs(picture - self._last[0]).mean())
            if labels.shape == self._last[1].shape:
                change = np.count_nonzero(labels != self._last[1]) / labels.size
        self._last = picture, labels
        confidence = result.mean_confidence
        self._rows.append((result.pts_s, np.nan if confidence is None else confidence, motion, change))
        # At network size: shares are the same to a tenth of a percent, and nothing need be brought to source size.
        self._shares.append(class_shares(labels, len(result.classes)) / np.float32(1 - result.left_out))
        if now_s - self._saved_s >= SAVE_EVERY_S:
            self._saved_s = now_s
            self._keep(whole=False)

    def close(self, *, whole: bool) -> None:
        """Keep the index; `whole` tells that no frame is missing at its end."""
        if self._rows or (whole and self._before is not None):
            self._keep(whole=whole)

    def __str__(self) -> str:
        frames = 0 if self.index is None else len(self.index)
        return f"index of {frames} frames in {self.path}" if self.path else f"index of {frames} frames, not kept"

    def _keep(self, *, whole: bool) -> None:
        self.index = self._make(whole=whole)
        self.path = save_index(self.index, self._video, self._place)

    def _make(self, *, whole: bool) -> DriveIndex:
        """Return the index of all frames so far, those of the run before included."""
        engine = self._engine()
        if self._origin is None:
            assert self._before is not None
            return replace(self._before, facts=replace(self._before.facts, whole=whole))
        info, classes = self._origin
        elapsed_s = max(time.monotonic() - self._began_s, 1e-6)
        height, width = engine.input_size
        facts = Facts(
            title=self._video.name,
            size=info.size,
            rate=float(info.rate or 0),
            duration_s=info.duration_s or 0.0,
            model=engine.model,
            engine=f"{engine.backend}, {engine.precision}, input {height}x{width}",
            machine=engine.device,
            frames_per_s=len(self._rows) / elapsed_s,
            whole=whole,
        )
        rows = np.array(self._rows)
        narrow = rows.astype(np.float32)
        made = DriveIndex(
            facts, classes, rows[:, 0], np.array(self._shares), narrow[:, 1], narrow[:, 2], narrow[:, 3], self._key
        )
        return made if self._before is None else self._before + made

"""Two processes that use the same cache and the same settings file: what each of them does."""

from __future__ import annotations

import logging
from multiprocessing.connection import Connection
from pathlib import Path

from segnet_live.engine.artifacts import ArtifactStore
from segnet_live.ui.settings import Settings, load_settings, save_settings


def hammer(folder: Path, mark: int, rounds: int, pipe: Connection) -> None:
    """Save and load by turns; send what was found broken."""
    logging.disable()  # a damaged artifact is a line in the log, and made again
    store, settings, broken = ArtifactStore(folder / "cache"), folder / "settings.json", []
    for number in range(rounds):
        store.save({"a": 1}, {"by": mark}, {".bin": bytes([mark]) * (1000 + number)})
        found = store.load({"a": 1})
        if found is not None and len(set(found.files[".bin"])) != 1:
            broken.append("an artifact of two processes")
        if problem := save_settings(Settings(folder=str(mark) * 500), settings):
            broken.append(problem)
        read, note = load_settings(settings)
        if note or len(set(read.folder)) != 1:
            broken.append(note or f"settings of two processes: {read.folder[:20]}")
    pipe.send(broken)

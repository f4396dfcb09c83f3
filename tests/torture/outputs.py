"""Every output on a disk that gets full, or lost, at a chosen moment: the program that full_disk.c is loaded into.

LD_PRELOAD=full_disk.so python -m tests.torture.outputs CLIP MODEL WORK < numbers of cases
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import io
import json
import shutil
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from segnet_live.classes import CAMVID
from segnet_live.cli import main
from segnet_live.engine.artifacts import ArtifactStore
from segnet_live.errors import OutputError
from segnet_live.frame import Frame, FrameResult, SourceInfo
from segnet_live.pipeline.headless.job import prepare
from segnet_live.pipeline.record.snapshots import save_snapshot
from segnet_live.ui.settings import Settings, load_settings, save_settings
from tests.support.engines import HalfEngine
from tests.torture.journal import Facts, dice

KINDS = ("record", "record", "record", "repair", "settings", "cache", "snapshot")
ERRORS = (errno.ENOSPC, errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT)
shim: Any = ctypes.CDLL(None)


def case(number: int, seed: int, clip: Path, model: Path, work: Path) -> Facts:
    """Do one job until a random call fails, look at what is there, and do it again with room."""
    rolled = dice("outputs", number, seed)
    kind, error = rolled.choice(KINDS), rolled.choice(ERRORS)
    job = Job(kind, clip, model, work)
    job.prepare()
    shim.full_from(str(work).encode(), -1, 0)
    job.run()
    calls = shim.full_seen()
    job.prepare()
    earlier = contents(job.earlier)
    at = rolled.randrange(calls)
    shim.full_from(str(work).encode(), at, error)
    code, said = job.run()
    shim.full_from(b"", -1, 0)
    facts = {"kind": kind, "call": at, "of": calls, "error": errno.errorcode[error]}
    problem = ""
    if code not in (0, 2) or len(said.strip().splitlines()) > 1 or "Traceback" in said:
        problem = f"exit {code}: {said[:300]}"
    elif code == 2 and not said.strip():
        problem = "failed without a word"
    for path, before in earlier.items():
        now = path.read_bytes() if path.exists() else b""
        if now != before and not job.is_whole(path):
            problem = problem or f"{path.name} was there before and is damaged"
    hidden = [p.name for p in work.rglob(".*.part*")]
    if hidden:
        problem = problem or f"left {hidden}"
    code, said = job.run()
    if code:
        problem = problem or f"with room again: exit {code}: {said[:300]}"
    return facts | {"problem": problem}


def contents(paths: list[Path]) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in paths}


class Job:
    """One kind of output, with an earlier good one in its place."""

    def __init__(self, kind: str, clip: Path, model: Path, work: Path) -> None:
        self.kind, self.clip, self.model, self.work = kind, clip, model, work
        self.out = work / "out.mp4"
        self.earlier: list[Path] = []

    def prepare(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        if self.kind == "record":
            shutil.copy(self.clip, self.out)
            self.earlier = [self.out]
        elif self.kind == "repair":
            shutil.copy(self.clip, self.work / "out.partial.mp4")
            self.earlier = [self.work / "out.partial.mp4"]
        elif self.kind == "settings":
            save_settings(Settings(folder="before"), self.work / "settings.json")
            self.earlier = [self.work / "settings.json"]
        elif self.kind == "snapshot":
            self.earlier = list(save_snapshot(self.work / "shot", result(), result().rgb))

    def run(self) -> tuple[object, str]:
        """The exit code (2 for a line to the user) and what was said."""
        said = io.StringIO()
        jobs: dict[str, Callable[[], object]] = {
            "record": self._record, "repair": self._repair, "settings": self._settings, "cache": self._cache,
            "snapshot": self._snapshot,
        }  # fmt: skip
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            try:
                code = jobs[self.kind]()
            except OutputError as error:
                print(error, file=sys.stderr)
                code = 2
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr)
                code = 1
        return code, said.getvalue()

    def is_whole(self, path: Path) -> bool:
        if path.suffix == ".mp4":
            with av.open(str(path)) as container:
                return sum(1 for _ in container.decode(video=0)) > 0
        return path.suffix != ".json" or not load_settings(path)[1]

    def _record(self) -> int:
        given = ["--video", str(self.clip), "--headless", "--overwrite", "--model", str(self.model), "--size", "32x64"]
        outputs = ["--record", self.out, "--stats", self.work / "out.csv", "--masks", self.work / "labels"]
        return main([*given, *map(str, outputs)])

    def _repair(self) -> int:
        partial = self.work / "out.partial.mp4"
        if not partial.exists():
            return 0
        return main(["repair", str(partial)])

    def _settings(self) -> int:
        problem = save_settings(Settings(folder="after"), self.work / "settings.json")
        print(problem, file=sys.stderr, end="")
        return 2 if problem else 0

    def _cache(self) -> int:
        store = ArtifactStore(self.work / "cache")
        with store.making({"a": 1}):
            store.save({"a": 1}, {}, {".bin": bytes(5000)})
        found = store.load({"a": 1})
        return 1 if found is not None and found.files[".bin"] != bytes(5000) else 0

    def _snapshot(self) -> int:
        save_snapshot(self.work / "shot", result(), result().rgb)
        return 0


def result() -> FrameResult:
    frame = Frame(np.zeros((32, 48, 3), np.uint8), 0, 0, Fraction(1, 25))
    info = SourceInfo("a test", (32, 48), None, Fraction(1, 25), None, None, live=False, seekable=False, audio=False)
    return FrameResult.unlabelled(frame, info, CAMVID)


def serve() -> None:
    clip, model, work = (Path(argument) for argument in sys.argv[1:4])
    prepare.__kwdefaults__["open_engine"] = lambda card, **_: HalfEngine(card.name, "a test", (32, 64))
    for line in sys.stdin:
        number, seed = map(int, line.split())
        print(json.dumps(case(number, seed, clip, model, work)), flush=True)


if __name__ == "__main__":
    serve()

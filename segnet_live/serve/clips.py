"""Annotate uploaded clips, one at a time, in a child process each: a decoder that dies or hangs takes nothing with it.

A child looks at its clip at once, so that a guest soon knows whether it is taken, and then waits for its turn. An
answer that has begun is never silent for long: proxies and clients give up on silent ones, most after a minute.

The folder with the upload and the annotated copy is deleted when the answer has been sent, or nobody waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import json
import math
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from starlette.requests import Request

from segnet_live.config import Backend, Precision
from segnet_live.errors import SegnetLiveError
from segnet_live.serve.bodies import parts
from segnet_live.serve.limits import Limits, Refused
from segnet_live.serve.sniff import clip_suffix

FORMATS = ("mov", "matroska", "avi")
"""The demuxers that uploads may reach (mp4 and webm belong to the first two): none of them opens other files."""
LARGEST_FRAME = 3840 * 2160
SHORTEST_TIMEOUT_S = 300.0
"""A clip may take ten times its length, and at least so long, on a slow machine."""
HEARTBEAT_S = 5.0
"""Seconds after which the last line of progress is sent again where there is nothing new."""
BEHIND_OTHERS = 5
"""What is added to the child's niceness: pictures and viewers wait for milliseconds, clips for minutes. At 5 it has a
third of another process's share; at 10 it had a tenth, and needed more than a minute to begin on a busy machine."""
CHUNK = 256 * 1024
_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class ClipJob:
    """What the child is told.

    Attributes:
        model: a model folder.
        limits: seconds and pixels are the child's to check, who opens the clip.
    """

    upload: Path
    output: Path
    stats: Path
    model: Path
    backend: Backend
    precision: Precision
    opacity: float
    limits: Limits


class Clips:
    """The clips that are uploaded, wait or run. Belongs to the event loop."""

    def __init__(self, limits: Limits, backend: Backend, precision: Precision) -> None:
        self._limits, self._backend, self._precision = limits, backend, precision
        self._under_way = 0
        self._turn = asyncio.Lock()
        self._ended = asyncio.Event()

    def end(self) -> None:
        """Carry out no clip any more, and end the one that runs."""
        self._ended.set()

    @property
    def under_way(self) -> int:
        """How many clips are uploaded, wait or run."""
        return self._under_way

    async def annotate(self, request: Request, model: Path, opacity: float) -> AsyncIterator[bytes]:
        """Yield the answer to an uploaded clip: lines of JSON with its progress, the last with "bytes", then the mp4.

        Raises:
            Refused: the clip is not taken, or, after the first line, could not be done.
            Gone: the guest hung up.
        """
        if self._under_way >= self._limits.clips_waiting:
            raise Refused(503, f"{self._under_way} clips are under way already; try again in a minute", retry_s=60)
        self._under_way += 1
        try:
            with tempfile.TemporaryDirectory(prefix="segnet-live-", ignore_cleanup_errors=True) as folder:
                upload = await self._receive(request, Path(folder))
                job = ClipJob(
                    upload,
                    Path(folder) / "annotated.mp4",
                    Path(folder) / "stats.csv",
                    model,
                    self._backend,
                    self._precision,
                    opacity,
                    self._limits,
                )
                async for line in self._carried_out(job):
                    yield line
                with job.output.open("rb") as file:
                    while chunk := await asyncio.to_thread(file.read, CHUNK):
                        yield chunk
        finally:
            self._under_way -= 1

    async def _carried_out(self, job: ClipJob) -> AsyncIterator[bytes]:
        """Yield lines of progress while a child looks at the clip, waits for its turn and does the job.

        The child is ended if nobody waits any more.

        Raises:
            Refused: the child could not open the clip, or did not take it.
        """
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        child = context.Process(target=_work, args=(job, theirs), name="serve clip", daemon=True)
        await asyncio.to_thread(child.start)
        theirs.close()
        try:
            last = await self._next(ours, time.monotonic() + SHORTEST_TIMEOUT_S, SHORTEST_TIMEOUT_S)
            yield _line(last)
            while True:
                try:
                    await asyncio.wait_for(self._turn.acquire(), HEARTBEAT_S)
                    break
                except TimeoutError:
                    yield _line(last)
            try:
                ours.send("begin")
                timeout_s = max(SHORTEST_TIMEOUT_S, 10 * job.limits.clip_s)
                until_s = time.monotonic() + timeout_s
                while "seconds" not in last:
                    last = await self._next(ours, until_s, timeout_s, HEARTBEAT_S) or last
                    if "seconds" not in last:
                        yield _line(last)
                yield _line(last | {"bytes": job.output.stat().st_size})
            finally:
                self._turn.release()
        finally:
            child.kill()
            ours.close()
            child.join(1.0)

    async def _next(
        self, pipe: Connection, until_s: float, timeout_s: float, wait_s: float = math.inf
    ) -> dict[str, Any]:
        """Return what the child tells next, nothing after `wait_s` seconds.

        Raises:
            Refused: it did not take the clip or died, its time is up, or the server is being ended.
        """
        kind: str
        value: Any
        began_s = time.monotonic()
        while True:
            try:
                kind, value = pipe.recv() if pipe.poll() else ("", {})
            except (EOFError, OSError):
                raise Refused(422, "the clip could not be decoded; send another one") from None
            if self._ended.is_set():
                raise Refused(503, "the server is being ended", retry_s=60)
            if kind == "refused":
                raise Refused(*value)
            now_s = time.monotonic()
            if not kind and now_s > until_s:
                raise Refused(422, f"the clip took longer than {timeout_s:.0f} s; send a shorter one")
            if kind or now_s - began_s > wait_s:
                told: dict[str, Any] = value
                return told
            await asyncio.sleep(_POLL_S)

    async def _receive(self, request: Request, folder: Path) -> Path:
        """Write the upload to the folder.

        Raises:
            Refused: it is too large or no clip.
        """
        first, suffix, path = b"", "", folder / "upload"
        with path.open("wb") as file:
            async for part in parts(request, self._limits.clip_bytes, "a clip"):
                file.write(part)
                if not suffix:
                    first += part
                    suffix = clip_suffix(first) if len(first) >= 16 else ""
        if not suffix:
            raise Refused(415, "got no clip that is taken here; send an mp4, mov, mkv, webm or avi")
        return path.rename(path.with_suffix(suffix))


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _work(job: ClipJob, pipe: Connection) -> None:
    """Annotate a clip in the child, and tell the parent how it goes."""
    from segnet_live.system.exit import leave

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its children
    with contextlib.suppress(BrokenPipeError, EOFError):
        try:
            length_s, frames = _checked(job)
            pipe.send(("told", {"frames": 0, "of": frames}))
            pipe.recv()  # its turn has come
            if hasattr(os, "nice"):
                os.nice(BEHIND_OTHERS)
            pipe.send(("told", _annotated(job, pipe, length_s, frames)))
        except Refused as refused:
            pipe.send(("refused", (refused.status, str(refused))))
        except SegnetLiveError as error:
            pipe.send(("refused", (422, str(error).replace(str(job.upload), "the clip"))))
    pipe.close()
    leave(0)


def _annotated(job: ClipJob, pipe: Connection, length_s: float | None, frames: int | None) -> dict[str, Any]:
    """Annotate the clip of that length, and return what is known of the result.

    Raises:
        SegnetLiveError: it cannot be decoded, or the engine cannot run.
    """
    from segnet_live.library import annotate

    began_s = time.monotonic()

    def tell(count: int) -> None:
        pipe.send(("told", {"frames": count, "of": frames}))

    count = annotate(
        job.upload,
        job.output,
        model=job.model,
        backend=job.backend,
        precision=job.precision,
        duration_s=None if length_s is not None else job.limits.clip_s,
        opacity=job.opacity,
        stats=job.stats,
        progress=tell,
    )
    elapsed_s = time.monotonic() - began_s
    return {"frames": count, "of": count, "seconds": round(elapsed_s, 2), "classes": _classes(job)}


def _checked(job: ClipJob) -> tuple[float | None, int | None]:
    """Return the clip's seconds and frames, None where it states none.

    Raises:
        Refused: it is too long, or its frames are too large.
        SourceError: it is no video that can be read.
    """
    from segnet_live.video.container import open_container, stream_length_s, video_stream

    with open_container(str(job.upload), formats=FORMATS) as container:
        stream = video_stream(container, "the clip")
        height, width = stream.height, stream.width
        length_s, rate = stream_length_s(container, stream), stream.average_rate
    if height * width > min(job.limits.pixels, LARGEST_FRAME):
        raise Refused(413, f"the clip is {width} x {height}; the most is 3840 x 2160: send a smaller one")
    if length_s is not None and length_s > job.limits.clip_s + 0.5:
        most = f"the most is {job.limits.clip_s:g} s on this server"
        raise Refused(413, f"the clip is {length_s:.1f} s long; {most}: send a shorter one")
    return length_s, round(length_s * rate) if length_s and rate else None


def _classes(job: ClipJob) -> list[dict[str, Any]]:
    """Return each class with its mean share of the frames."""
    from segnet_live.card import read_card
    from segnet_live.serve.json_values import class_facts

    with job.stats.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    classes = read_card(job.model).classes
    return class_facts(classes, [sum(float(row[name]) for row in rows) / len(rows) for name in classes.names])

"""Reopen a lost camera or stream in a run without a window, and name the outputs that go on."""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from segnet_live.config import RunConfig, SourceSpec
from segnet_live.errors import SegnetLiveError, UsageError
from segnet_live.frame import SourceInfo
from segnet_live.pipeline.backoff import Backoff
from segnet_live.system.files import free_path
from segnet_live.video.location import is_stream, is_url
from segnet_live.video.open import open_source
from segnet_live.video.source import VideoSource

POLL_S = 0.1


def reconnects(config: RunConfig, info: SourceInfo) -> bool:
    """Return whether a run reopens its source after a loss.

    Raises:
        UsageError: --reconnect was given for what cannot be lost.
    """
    assert config.source is not None
    place = config.source.value if config.source.kind == "video" else ""
    if config.reconnect and not (info.live or is_url(place)):
        raise UsageError(f"--reconnect: {info.title} is no camera and not on a network", "leave it out")
    if config.reconnect is None:
        return config.record is not None and (info.live or is_stream(place))
    return config.reconnect


def numbered_on(config: RunConfig) -> RunConfig:
    """Return `config` with its outputs numbered by the first number from 2 on at which all of them are free."""
    given = {"record": config.record, "masks": config.masks, "stats": config.stats, "confidence": config.confidence}
    paths = {name: path for name, path in given.items() if path is not None}
    for number in itertools.count(2):
        names = {name: path.with_stem(f"{path.stem}-{number}") for name, path in paths.items()}
        if all(free_path(paths[name], number) == names[name] for name in paths):
            return replace(config, overwrite=False, **names)  # type: ignore[arg-type]
    raise AssertionError("itertools.count ends never")


def reopen(open_again: Callable[[], VideoSource], backoff: Backoff, is_over: Callable[[], bool]) -> VideoSource | None:
    """Return the source once it is back, trying with longer and longer waits between, or None once `is_over`.

    A try may hang in a network for half a minute. Each has a thread of its own, so that Ctrl-C need not wait for it.
    """
    while True:
        until_s = time.monotonic() + backoff.wait_s
        backoff.failed()
        while time.monotonic() < until_s:
            if is_over():
                return None
            time.sleep(POLL_S)
        found: list[VideoSource] = []
        attempt = threading.Thread(target=_attempt, args=(open_again, found), name="reconnect", daemon=True)
        attempt.start()
        while attempt.is_alive():
            attempt.join(POLL_S)
            if is_over():
                return None
        if found:
            return found[0]


def open_where_it_was(spec: SourceSpec, info: SourceInfo, reached_s: float | None, until_s: float) -> VideoSource:
    """Open a lost source: behind `reached_s` if it can be seeked, a camera or stream where it is now.

    Args:
        info: what it was when it was lost.
        until_s: `time.monotonic()` at which a camera or stream has given the seconds that were asked for.

    Raises:
        SourceError: it is not back.
    """
    if info.live:
        left_s = None if math.isinf(until_s) else max(POLL_S, until_s - time.monotonic())
        return open_source(replace(spec, start_s=0.0, duration_s=left_s))
    source = open_source(spec)
    try:
        if reached_s is not None:
            source.seek(reached_s + 1e-3)
    except BaseException:
        source.close()
        raise
    return source


def _attempt(open_again: Callable[[], VideoSource], found: list[VideoSource]) -> None:
    with contextlib.suppress(SegnetLiveError):
        found.append(open_again())

"""Run without a window: open a job, print what was chosen and why, run its pipeline, print a summary."""

from __future__ import annotations

import contextlib
import math
import signal
import time
from collections.abc import Iterator, Sequence
from types import FrameType

from segnet_live.config import RunConfig
from segnet_live.display_text import print_line
from segnet_live.errors import SourceError
from segnet_live.pipeline.backoff import Backoff
from segnet_live.pipeline.headless.job import Job, prepare
from segnet_live.pipeline.headless.progress import FrameProgress
from segnet_live.pipeline.headless.reconnect import open_where_it_was, reopen
from segnet_live.pipeline.inference import freeze_libraries
from segnet_live.system.cores import share_cores
from segnet_live.system.exit import stop_signals

POLL_S = 0.1


def run(config: RunConfig) -> int:
    """Run what `config` asks for. Call it from the main thread: it handles Ctrl-C while it runs.

    Returns:
        0, or 128 plus the signal's number where one ended the run early (130 for Ctrl-C); what was done is kept.

    Raises:
        SegnetLiveError: anything that cannot be carried out; if frames were written before, they are kept and named.
    """
    job = prepare(config, print_line)
    if not any((config.record, config.masks, config.stats, config.index, config.confidence)):
        print_line("nothing will be written: add --record, --masks, --stats, --index or --confidence DIR")
    freeze_libraries()
    share_cores()
    began_s = time.monotonic()
    before: list[Job] = []
    backoff = Backoff()
    with signals() as caught, FrameProgress(job.source.info.frames) as progress:
        try:
            _carry_out(job, before, caught, progress)
            while job.is_lost and not caught:
                next_job = _reconnected(job, began_s, backoff, caught)
                if next_job is None:
                    break
                before.append(job)
                job = next_job
                _carry_out(job, before, caught, progress)
        finally:
            job.pipeline.close()
    print_line(job.summary(time.monotonic() - began_s, before))
    if job.pipeline.error and not job.is_lost:
        raise job.pipeline.error
    if caught:
        return 128 + caught[0]
    if not any(each.pipeline.written for each in (*before, job)):
        raise SourceError(f"{job.source.info.title} gave no frame; nothing was written")
    return 0


def _carry_out(job: Job, before: Sequence[Job], caught: Sequence[int], progress: FrameProgress) -> None:
    """Run a job's pipeline to its end, or until a signal is caught; its sinks and its source are closed then."""
    pipeline, signals_seen = job.pipeline, len(caught)
    written = sum(each.pipeline.written for each in before)
    skipped = sum(each.pipeline.skipped for each in before)
    pipeline.start()
    while not pipeline.wait(POLL_S):
        progress.update(written + pipeline.written, skipped + pipeline.skipped)
        if len(caught) > signals_seen:
            signals_seen = len(caught)
            pipeline.stop()
            print_line("finishing what is begun; please wait")
    pipeline.finish()


def _reconnected(job: Job, began_s: float, backoff: Backoff, caught: Sequence[int]) -> Job | None:
    """Reopen a lost source, print both, return the job that goes on; None if a signal or the asked end came first."""
    spec, info = job.config.source, job.source.info
    assert spec is not None
    until_s = began_s + spec.duration_s if info.live and spec.duration_s is not None else math.inf
    if job.pipeline.written:
        backoff.succeeded()
    kept = "; ".join(str(sink) for sink in job.sinks if job.pipeline.written)
    print_line(f"{job.pipeline.error}; {f'kept {kept}; ' if kept else ''}trying again, Ctrl-C ends")
    lost_s = time.monotonic()
    source = reopen(
        lambda: open_where_it_was(spec, info, job.reached_s, until_s),
        backoff,
        lambda: bool(caught) or time.monotonic() >= until_s,
    )
    if source is None:
        return None
    next_job = job.continued(source)
    named = next_job.named
    names = [str(path) for path in (named.record, named.masks, named.stats, named.confidence) if path is not None]
    into = f"; going on in {', '.join(names)}" if names else ""
    print_line(f"{source.info.title} is back after {time.monotonic() - lost_s:.1f} s{into}")
    return next_job


@contextlib.contextmanager
def signals() -> Iterator[list[int]]:
    """Collect Ctrl-C, termination and a closed terminal in the body, instead of interrupting what is being written.

    Which they are tells `stop_signals`.
    """
    caught: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        caught.append(number)

    before = {number: signal.signal(number, note) for number in stop_signals()}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

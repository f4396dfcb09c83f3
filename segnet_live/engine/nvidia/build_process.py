"""Build a TensorRT engine, or fill Inductor's cache, in a child process; one at a time.

The child frees all its GPU memory when it ends, can be cancelled at any moment, and its crash or lack of memory harms
nobody; nor does it hold up the frames of this process, as a compiler in a thread would. It hands an engine over through
the store, or through a scratch folder where the store cannot be written.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from segnet_live.card import Card, read_card
from segnet_live.config import Precision
from segnet_live.engine.artifacts import Artifact, ArtifactStore
from segnet_live.engine.base import LABELS, RequestedOutputs
from segnet_live.engine.nvidia.device import Cancelled
from segnet_live.engine.nvidia.inductor import InductorEngine
from segnet_live.engine.nvidia.tensorrt_build import TENSORRT, Toolchain, build, find
from segnet_live.errors import EngineError, SegnetLiveError, first_line
from segnet_live.frame import Size
from segnet_live.system import paths
from segnet_live.system.exit import scratch_folder

CHILD = (sys.executable, "-m", "segnet_live.engine.nvidia.build_process")
POLL_S = 0.1
LIMIT_S = 1800.0
"""After so long a child hangs and is ended, so that others have their turn; three pooling forms take minutes each."""
SAID = "segnet-live: "
_ONE = threading.Lock()
"""Held while a child builds: each needs a GiB or so, and times its kernels, for which it should be alone."""


def build_in_child(
    card: Card,
    size: Size,
    precision: Precision,
    cancel: threading.Event,
    store: ArtifactStore | None = None,
    child: tuple[str, ...] = CHILD,
    tools: Toolchain = TENSORRT,
    maps: RequestedOutputs = LABELS,
) -> Artifact:
    """Build in a child process, wait for it and return the engine, which is kept in `store` if that can be written.

    Args:
        cancel: when set, the child is ended and this returns within a moment.
        child: the command that runs `main` with the request as its last argument.
        tools: what the child builds with, to find the engine by.

    Raises:
        EngineError: the child could not build it, or died.
        Cancelled: `cancel` was set; the child has ended.
    """
    store = store or ArtifactStore.of("tensorrt")
    with scratch_folder() as scratch:
        request = _request(card, size, precision, maps) | {"store": str(store.folder)}
        ended = _run_child(child, {**request, "scratch": str(scratch)}, scratch / "messages", cancel)
        stores = (store, ArtifactStore(scratch))
        entry = next(filter(None, (find(card, size, precision, place, tools, maps) for place in stores)), None)
        if entry is None:  # an engine that is there counts, even if the child crashed in leaving
            raise EngineError(f"building the TensorRT engine failed: {ended or 'the child left no engine'}")
    return entry


def _request(card: Card, size: Size, precision: Precision, maps: RequestedOutputs) -> dict[str, Any]:
    return {"card": str(card.folder), "size": size, "precision": precision, "maps": asdict(maps)}


def warm_in_child(
    card: Card,
    size: Size,
    precision: Precision,
    cancel: threading.Event,
    child: tuple[str, ...] = CHILD,
    maps: RequestedOutputs = LABELS,
) -> None:
    """Compile the network with Inductor in a child process, whose work this one then finds in the compiler's cache.

    Raises:
        EngineError: the child could not compile it, or died.
        Cancelled: `cancel` was set; the child has ended.
    """
    request = _request(card, size, precision, maps) | {"inductor": True}
    with scratch_folder() as folder:
        failure = _run_child(child, request, folder / "messages", cancel)
    if failure:
        raise EngineError(f"compiling in a child process failed: {failure}", "take --backend torch")


def _run_child(child: tuple[str, ...], request: dict[str, Any], said: Path, cancel: threading.Event) -> str:
    """Run a child when it is its turn; return why it failed, "" if it ended well.

    Raises:
        Cancelled: `cancel` was set; the child has ended, or never began.
    """
    root = str(Path(paths.__file__).parents[2])  # in a checkout that is not installed, too
    search = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    while not _ONE.acquire(timeout=POLL_S):
        if cancel.is_set():
            raise Cancelled
    try:
        if cancel.is_set():
            raise Cancelled
        with said.open("w+", encoding="utf-8", errors="replace") as messages:
            process = subprocess.Popen(
                [*child, json.dumps(request)],
                stdin=subprocess.PIPE,  # the child ends itself when this closes, even if we are killed
                stdout=subprocess.DEVNULL,
                stderr=messages,
                env={**os.environ, "PYTHONPATH": search},
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
            until_s = time.monotonic() + LIMIT_S
            try:
                while process.poll() is None and time.monotonic() < until_s:
                    if cancel.wait(POLL_S):
                        raise Cancelled
                hangs = process.poll() is None
            finally:
                _end(process)
            return f"it took longer than {LIMIT_S / 60:.0f} minutes" if hangs else _reason(messages, process.returncode)
    finally:
        _ONE.release()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the child, however it behaves."""
    assert process.stdin is not None
    process.stdin.close()
    if process.poll() is None:
        process.kill()
    process.wait()


def _reason(messages: IO[str], code: int) -> str:
    """Return why the child failed: what it said, or how it ended; "" if it ended well."""
    messages.seek(0)
    lines = [line.strip() for line in messages if line.strip()]
    if code == 0:
        return ""
    if code < 0:
        return f"its process was ended by signal {-code}, perhaps for lack of memory"
    # libraries write to the same stream; a crash on Windows is a large number and says nothing
    own = [line.removeprefix(SAID) for line in lines if line.startswith(SAID)]
    return own[-1] if own else f"its process ended with code {code}"


def main(arguments: list[str], tools: Toolchain = TENSORRT) -> int:
    """Run as the child process: the request is the last argument, the reason for a failure the last line of stderr."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    request = json.loads(arguments[-1])
    height, width = request["size"]
    try:
        card = read_card(Path(request["card"]))
        maps = RequestedOutputs(**request.get("maps", {}))
        if request.get("inductor"):
            InductorEngine(card, (height, width), precision=request["precision"], maps=maps).close()
            return 0
        store = ArtifactStore(Path(request["store"]))
        build(card, (height, width), request["precision"], store, Path(request["scratch"]), tools, maps)
    except SegnetLiveError as error:
        print(f"{SAID}{error}", file=sys.stderr)
        return 2
    except Exception as error:
        print(f"{SAID}unexpected {type(error).__name__}: {first_line(error)}", file=sys.stderr)
        return 1
    return 0


def _end_with_parent() -> None:
    """Wait until the other end of stdin closes, which it does when the parent ends, and end at once."""
    while os.read(0, 1):  # not sys.stdin: a thread that waits in it makes Python abort when the process ends well
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv))

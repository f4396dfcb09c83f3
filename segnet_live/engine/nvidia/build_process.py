"""Build a TensorRT engine in a child process.

The child frees all its GPU memory when it ends, can be cancelled at any moment, and its crash or lack of memory harms
nobody. It hands the engine over through the store, or through a scratch folder where the store cannot be written.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO

from segnet_live.card import Card, read_card
from segnet_live.config import Precision
from segnet_live.engine.artifacts import Artifact, ArtifactStore
from segnet_live.engine.nvidia.device import Cancelled
from segnet_live.engine.nvidia.tensorrt_build import TENSORRT, Toolchain, build, find
from segnet_live.errors import EngineError, SegnetLiveError, first_line
from segnet_live.frame import Size
from segnet_live.system import paths

CHILD = (sys.executable, "-m", "segnet_live.engine.nvidia.build_process")
POLL_S = 0.1


def build_in_child(
    card: Card,
    size: Size,
    precision: Precision,
    cancel: threading.Event,
    store: ArtifactStore | None = None,
    child: tuple[str, ...] = CHILD,
    tools: Toolchain = TENSORRT,
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
    with tempfile.TemporaryDirectory(prefix="segnet-live-") as folder:
        scratch = Path(folder)
        request = {"card": str(card.folder), "size": size, "precision": precision, "store": str(store.folder)}
        root = str(Path(paths.__file__).parents[2])  # in a checkout that is not installed, too
        search = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        with (scratch / "messages").open("w+", encoding="utf-8", errors="replace") as messages:
            process = subprocess.Popen(
                [*child, json.dumps({**request, "scratch": folder})],
                stdin=subprocess.PIPE,  # the child ends itself when this closes, even if we are killed
                stdout=subprocess.DEVNULL,
                stderr=messages,
                env={**os.environ, "PYTHONPATH": search},
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
            try:
                while process.poll() is None:
                    if cancel.wait(POLL_S):
                        raise Cancelled
            finally:
                _end(process)
            entry = next(
                filter(None, (find(card, size, precision, s, tools) for s in (store, ArtifactStore(scratch)))), None
            )
            if entry is None:  # an engine that is there counts, even if the child crashed in leaving
                raise EngineError(f"building the TensorRT engine failed: {_last_line(messages, process.returncode)}")
    return entry


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the child, however it behaves."""
    assert process.stdin is not None
    process.stdin.close()
    if process.poll() is None:
        process.kill()
    process.wait()


def _last_line(messages: IO[str], code: int) -> str:
    """Return why the child failed: what it said last, or the signal that ended it."""
    messages.seek(0)
    lines = [line.strip() for line in messages if line.strip()]
    if code < 0:
        return f"its process was ended by signal {-code}, perhaps for lack of memory"
    if code == 0:
        return "the child ended well but left no engine"
    return lines[-1].removeprefix("segnet-live: ") if lines else f"its process ended with code {code}"


def main(arguments: list[str], tools: Toolchain = TENSORRT) -> int:
    """Run as the child process: the request is the last argument, the reason for a failure the last line of stderr."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    request = json.loads(arguments[-1])
    height, width = request["size"]
    try:
        card = read_card(Path(request["card"]))
        store = ArtifactStore(Path(request["store"]))
        build(card, (height, width), request["precision"], store, Path(request["scratch"]), tools)
    except SegnetLiveError as error:
        print(f"segnet-live: {error}", file=sys.stderr)
        return 2
    except Exception as error:
        print(f"segnet-live: unexpected {type(error).__name__}: {first_line(error)}", file=sys.stderr)
        return 1
    return 0


def _end_with_parent() -> None:
    """Wait until the other end of stdin closes, which it does when the parent ends, and end at once."""
    while os.read(0, 1):  # not sys.stdin: a thread that waits in it makes Python abort when the process ends well
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv))

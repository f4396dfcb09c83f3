"""Builds TensorRT engines: find one in the cache, or convert, measure and check one in a child process.

The child frees all its GPU memory when it ends, can be cancelled at any moment, and its crash or lack of memory harms
nobody. It hands the engine over through the cache, or through a scratch folder where the cache cannot be written.

Never run on a GPU so far. The converter contract tests run `convert` with Torch-TensorRT's real converters and a
recorder in place of TensorRT; the other tests run real child processes with stand-ins for the conversion.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from segnet_live import paths
from segnet_live.card import Card, read_card
from segnet_live.engine import parity
from segnet_live.engine.artifacts import EngineCache, Entry, Facts
from segnet_live.engine.base import Size
from segnet_live.engine.gpu import Cancelled, as_engine_error, first_line, gpu, release_cached
from segnet_live.engine.tensorrt import TensorRTEngine, tensorrt_problem
from segnet_live.errors import EngineError, SegnetLiveError
from segnet_live.nets.deploy import GRAPH_REVISION, Deploy
from segnet_live.nets.load import load_network
from segnet_live.nets.pooling import MASK, RESIZE, SLICES, Pooling
from segnet_live.nets.segnet import Network

log = logging.getLogger(__name__)

PRECISIONS = {"fp16": torch.float16, "fp32": torch.float32}
OPTIONS: dict[str, Any] = {
    "optimization_level": 3,
    "require_full_compilation": True,
    "immutable_weights": True,
    "workspace_size": 64 << 20,  # bounds scratch memory; the whole process should stay below 200 MiB
}
"""For Torch-TensorRT, which ignores what it does not know: a contract test checks the names."""
TIMED_FRAMES = 30
DEVICE = "cuda"
CHILD = (sys.executable, "-m", "segnet_live.engine.build")
POLL_S = 0.1


def pooling_forms(card: Card) -> tuple[Pooling, ...]:
    """Equal forms that TensorRT converts; the build keeps the one that is faster on the user's GPU."""
    return (MASK,) if card.architecture == "segnet-fast" else (SLICES, RESIZE)


def precision_of(wish: str) -> str:
    """The precision for "auto" or a name.

    Raises:
        EngineError: TensorRT engines are not built in it.
    """
    precision = "fp16" if wish == "auto" else wish
    if precision not in PRECISIONS:
        raise EngineError(f"backend tensorrt has no precision {wish!r}; choose from {', '.join(PRECISIONS)}")
    return precision


def facts_of(card: Card, size: Size, precision: str, pooling: Pooling) -> Facts:
    """Everything that makes an engine another one, or a wrong one."""
    return {
        "model": card.name,
        "weights": card.sha256,
        "architecture": card.architecture,
        "arguments": card.arguments,
        "classes": len(card.classes),
        "mean": card.mean,
        "std": card.std,
        "graph": GRAPH_REVISION,
        "pooling": pooling.name,
        "size": size,
        "precision": precision,
        "options": OPTIONS,
        **asdict(gpu()),
        **versions(),
    }


def versions() -> Facts:
    """Of the software that builds and runs engines."""
    return {name: importlib.metadata.version(name) for name in ("torch", "torch_tensorrt", "tensorrt")}


def find(card: Card, size: Size, precision: str, cache: EngineCache | None = None) -> Entry | None:
    """The cached engine for this card, size, precision, GPU and software; None means: build it."""
    cache = cache or EngineCache()
    for form in pooling_forms(card):
        entry = cache.load(facts_of(card, size, precision, form))
        if entry is not None:
            return entry
    return None


def deployed(network: Network, card: Card, precision: str, pooling: Pooling) -> Deploy:
    """The graph as TensorRT gets it: int32 class ids, because TensorRT has no uint8 output."""
    return Deploy(network, card.mean, card.std, pooling=pooling, dtype=PRECISIONS[precision], ids=torch.int32)


def convert(deploy: Deploy, size: Size, timing_cache: Path) -> bytes:
    """A serialised engine of the whole graph; an operation without a converter is an error, never a fallback.

    Networks are strongly typed: the graph's own dtype is the precision.
    """
    import torch_tensorrt

    example = torch.zeros((1, *size, 3), dtype=torch.uint8, device=deploy.scale.device)
    with torch.no_grad():
        program = torch.export.export(deploy, (example,), strict=False)
    engine: bytes = torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine(
        program,
        arg_inputs=[example],
        device=torch_tensorrt.Device("cuda:0"),
        disable_tf32=deploy.dtype == torch.float32,
        timing_cache_path=str(timing_cache),  # the default lies in a folder that all users share
        **OPTIONS,
    )
    return engine


def build(card: Card, size: Size, precision: str, cache: EngineCache, scratch: Path) -> None:
    """Put a checked engine into the cache, or into `scratch` if that is impossible. Runs in the child process.

    Raises:
        EngineError: TensorRT is missing or fails, memory runs out, or the engine disagrees with fp32 eager.
        CardError: the weights are damaged.
    """
    problem = tensorrt_problem()
    if problem:
        raise EngineError(f"backend tensorrt: {problem}")
    network = load_network(card)
    forms = pooling_forms(card)
    with cache.building(facts_of(card, size, precision, forms[0])):
        if find(card, size, precision, cache) is not None:
            return  # another process built it while this one waited
        best: tuple[float, Entry] | None = None
        failure = EngineError(f"TensorRT cannot build {card.name}: there is no pooling form to build it with")
        for form in forms:
            try:
                blob = convert(deployed(network, card, precision, form).to(DEVICE), size, scratch / "timing.bin")
            except Exception as error:  # Torch-TensorRT raises anything, AssertionError on a CPU build of torch
                failure = as_engine_error(error, f"TensorRT cannot build {card.name} ({form.name})")
                log.info("%s", failure)
                continue
            release_cached()
            entry = Entry(facts_of(card, size, precision, form), {"parity": {"overall": None}}, blob)
            ms = _frame_ms(TensorRTEngine(card, size, entry), size)
            log.info("%s: %.2f ms per frame, %.1f MiB", form.name, ms, len(blob) / (1 << 20))
            if best is None or ms < best[0]:
                best = ms, entry
        if best is None:
            raise failure
        ms, entry = best
        engine = TensorRTEngine(card, size, entry)
        found = parity.measure(engine, card)
        parity.require(found, engine.info, card)
        parity.remember(card, engine.info, found)
        notes = {"parity": asdict(found), "frame_ms": round(ms, 3)}
        if not cache.store(entry.facts, entry.blob, notes) and not EngineCache(scratch).store(
            entry.facts, entry.blob, notes
        ):
            raise EngineError(
                f"the engine is built but neither {cache.folder} nor {scratch} can be written; free some space"
            )


def _frame_ms(engine: TensorRTEngine, size: Size) -> float:
    """Median milliseconds of one frame, host to host; closes the engine."""
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    times = []
    for _ in range(TIMED_FRAMES):
        start = time.perf_counter()
        engine.segment(frame)
        times.append(time.perf_counter() - start)
    engine.close()
    return float(np.median(times)) * 1e3


def build_in_child(
    card: Card,
    size: Size,
    precision: str,
    cancel: threading.Event,
    cache: EngineCache | None = None,
    child: tuple[str, ...] = CHILD,
) -> Entry:
    """Build in a child process and wait for it; the engine is in the cache afterwards, if that can be written.

    Args:
        cancel: when set, the child is ended and this returns within a moment.
        child: the command that runs `main` with the request as its last argument.

    Raises:
        EngineError: the child could not build it, or died.
        Cancelled: `cancel` was set; the child has ended.
    """
    cache = cache or EngineCache()
    with tempfile.TemporaryDirectory(prefix="segnet-live-") as folder:
        scratch = Path(folder)
        request = {"card": str(card.folder), "size": size, "precision": precision, "cache": str(cache.folder)}
        root = str(Path(paths.__file__).parents[1])  # in a checkout that is not installed, too
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
            entry = find(card, size, precision, cache) or find(card, size, precision, EngineCache(scratch))
            if entry is None:  # an engine that is there counts, even if the child crashed in leaving
                raise EngineError(f"building the TensorRT engine failed: {_last_line(messages, process.returncode)}")
    return entry


def _end(process: subprocess.Popen[bytes]) -> None:
    """The child is gone afterwards, however it behaved."""
    assert process.stdin is not None
    process.stdin.close()
    if process.poll() is None:
        process.kill()
    process.wait()


def _last_line(messages: IO[str], code: int) -> str:
    """Why the child failed: what it said last, or the signal that ended it."""
    messages.seek(0)
    lines = [line.strip() for line in messages if line.strip()]
    if code < 0:
        return f"its process was ended by signal {-code}, perhaps for lack of memory"
    if code == 0:
        return "the child ended well but left no engine"
    return lines[-1].removeprefix("segnet-live: ") if lines else f"its process ended with code {code}"


def main(arguments: list[str]) -> int:
    """The child process: the request is the last argument, the reason for a failure the last line of stderr."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    request = json.loads(arguments[-1])
    height, width = request["size"]
    try:
        card = read_card(Path(request["card"]))
        cache = EngineCache(Path(request["cache"]))
        build(card, (height, width), request["precision"], cache, Path(request["scratch"]))
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

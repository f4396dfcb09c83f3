"""What to find out first on a GPU: `python -m tests.engine.nvidia.first_minutes`, after `pytest -m gpu`.

Prints a line for each finding, with n. `--device cpu` rehearses every step without CUDA; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from segnet_live.bench.machine import describe_machine
from segnet_live.bench.measure import Timing, interleaved
from segnet_live.card import Card, find_card
from segnet_live.engine.eager import EagerEngine
from segnet_live.engine.nvidia.cuda_graph import FrameLoop
from segnet_live.engine.nvidia.device import compile_lock, release_cached, set_up_cudnn
from segnet_live.engine.nvidia.inductor import InductorEngine
from segnet_live.frame import Size
from segnet_live.nets.deploy import Deploy
from segnet_live.nets.load import load_network
from segnet_live.nets.pooling import BYTES, EXACT, NEAREST, RESIZE, SLICES


def captures_beside_frames(card: Card, size: Size, device: str, count: int) -> str:
    """Capture graphs in this thread while another runs eager frames: does either disturb the other?"""
    eager = EagerEngine(card, size, device=device, precision="fp32")
    frame = np.zeros((*size, 3), np.uint8)
    expected = eager.segment(frame)
    ended, wrong = threading.Event(), [0, 0]

    def live() -> None:
        while not ended.is_set():
            wrong[0] += not (eager.segment(frame) == expected).all()
            wrong[1] += 1

    thread = threading.Thread(target=live)
    thread.start()
    deploy = _deployed(card, device, RESIZE.name)
    graphs = 0
    for _ in range(count):
        with compile_lock():
            loop = FrameLoop(deploy, size, torch.device(device))
        graphs += loop._graph is not None
        loop.segment(frame)
        loop.close()
    ended.set()
    thread.join()
    eager.close()
    return f"{graphs} of {count} captured beside {wrong[1]} eager frames, {wrong[0]} of them wrong"


def after_a_capture_that_failed(size: Size, device: str) -> str:
    """Let a capture fail, then free memory and capture again (finding A5)."""

    def synchronises(rgb: Tensor) -> Tensor:
        return rgb[..., 0] + int(rgb.sum() * 0)

    bad = FrameLoop(synchronises, size, torch.device(device))
    release_cached()
    if device == "cuda":
        torch.cuda.empty_cache()  # raises where the allocator still believes in the capture
    good = FrameLoop(lambda rgb: rgb[..., 0], size, torch.device(device))
    answer = good.segment(np.full((*size, 3), 7, np.uint8))
    captured = [loop._graph is not None for loop in (bad, good)]
    bad.close()
    good.close()
    return f"captured: {captured[0]} (must fail), then {captured[1]}; labels right: {bool((answer == 7).all())}"


def forms(card: Card, size: Size, device: str, n: int) -> Iterator[str]:
    """Time the pooling forms as graphs without a compiler."""
    own = load_network(card).pooling
    names = [f.name for f in (RESIZE, NEAREST, BYTES, SLICES)] if own.name in EXACT else [own.name]
    loops = {name: FrameLoop(_deployed(card, device, name), size, torch.device(device)) for name in names}
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    calls: dict[str, Callable[[], object]] = {
        name: lambda loop=loop: loop.segment(frame)
        for name, loop in loops.items()  # type: ignore[misc]
    }
    warm_s = 0.3 if device == "cuda" else 0.0
    for name, timing in interleaved(calls, n=n, seconds=60, warm_s=lambda _: warm_s).items():
        yield f"{card.name} {name}: p50 {timing.p50:.3f} ms, p95 {timing.p95:.3f} ms (n {timing.n})"
    for loop in loops.values():
        loop.close()


def frames_beside_the_compiler(card: Card, size: Size, device: str) -> Iterator[str]:
    """Time a live eager thread alone and beside a whole compilation (findings A7 and A8)."""
    eager = EagerEngine(card, size, device=device, precision="fp32")
    frame = np.zeros((*size, 3), np.uint8)

    def timed(until: Callable[[], bool]) -> Timing:
        times: list[float] = []
        while len(times) < 5 or not until():
            began_s = time.perf_counter()
            eager.segment(frame)
            times.append((time.perf_counter() - began_s) * 1e3)
        return Timing.of(times)

    began_s = time.perf_counter()
    alone = timed(lambda: time.perf_counter() - began_s > 2)
    thread = threading.Thread(target=lambda: InductorEngine(card, size, precision="fp32", device=device).close())
    thread.start()
    beside = timed(lambda: not thread.is_alive())
    thread.join()
    eager.close()
    for name, timing in (("alone", alone), ("beside the compiler", beside)):
        yield f"eager {name}: p50 {timing.p50:.2f}, p95 {timing.p95:.2f}, p99 {timing.p99:.2f} ms (n {timing.n})"


def _deployed(card: Card, device: str, form: str) -> Deploy:
    network = load_network(card)
    pooling = EXACT.get(form, network.pooling)
    dtype = torch.float16 if device == "cuda" else torch.float32
    deploy = Deploy(network, card.mean, card.std, pooling=pooling, dtype=dtype).to(device)
    deploy.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return deploy


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--model", default="segnet-fast")
    parser.add_argument("--size", default="360x480")
    parser.add_argument("-n", type=int, default=500)
    parser.add_argument("--captures", type=int, default=50)
    parser.add_argument("--no-compiler", action="store_true", help="leave out the step that takes a minute")
    asked = parser.parse_args(arguments)
    height, width = (int(side) for side in asked.size.split("x"))
    card, size = find_card(asked.model), (height, width)
    print("\n".join(describe_machine().lines()))
    set_up_cudnn()
    print(captures_beside_frames(card, size, asked.device, asked.captures))
    print(after_a_capture_that_failed(size, asked.device))
    print("\n".join(forms(card, size, asked.device, asked.n)))
    if not asked.no_compiler:
        print("\n".join(frames_beside_the_compiler(card, size, asked.device)))
    print("then: nsys for launches per frame (45 fast, 65 segnet); suspend and resume; a governor on 6 GB")


if __name__ == "__main__":
    main()

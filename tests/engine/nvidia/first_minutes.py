"""What to find out first on a GPU: `python -m tests.engine.nvidia.first_minutes`, after `pytest -m gpu`.

Prints a line for each finding, with n. `--device cpu` rehearses every step without CUDA; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from segnet_live.bench.machine import describe_machine
from segnet_live.bench.measure import Timing, interleaved
from segnet_live.card import Card, find_card
from segnet_live.engine import exporting
from segnet_live.engine.eager import EagerEngine
from segnet_live.engine.nvidia.build_process import CHILD, warm_in_child
from segnet_live.engine.nvidia.cuda_graph import FrameLoop
from segnet_live.engine.nvidia.device import compile_lock, release_cached, set_up_cudnn
from segnet_live.engine.nvidia.inductor import InductorEngine
from segnet_live.engine.nvidia.tensorrt_rtx import open_rtx, rtx_problem
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


class ConvReLU(nn.Module):
    """A convolution with bias and ReLU in one kernel of cuDNN; in two operations where there is none."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor) -> Tensor:
        c = self.convolution
        if not x.is_cuda:
            return c(x).relu()
        assert not isinstance(c.padding, str)
        return torch.cudnn_convolution_relu(x, c.weight, c.bias, c.stride, c.padding, c.dilation, c.groups)


def with_conv_relu(deployed: Deploy) -> Deploy:
    """Put a `ConvReLU` in the place of every folded convolution that a ReLU follows."""
    for block in [m for m in deployed.network.modules() if type(m) is nn.Sequential]:
        layers = [(name, layer) for name, layer in block.named_children() if not isinstance(layer, nn.Identity)]
        for (name, conv), (relu_name, relu) in itertools.pairwise(layers):
            if isinstance(conv, nn.Conv2d) and isinstance(relu, nn.ReLU):
                setattr(block, name, ConvReLU(conv))
                setattr(block, relu_name, nn.Identity())
    return deployed


def forms(card: Card, size: Size, device: str, n: int) -> Iterator[str]:
    """Time the pooling forms as graphs without a compiler, the first also with cuDNN's convolutions with ReLU."""
    own = load_network(card).pooling
    names = [f.name for f in (RESIZE, NEAREST, BYTES, SLICES)] if own.name in EXACT else [own.name]
    loops = {name: FrameLoop(_deployed(card, device, name), size, torch.device(device)) for name in names}
    fused = with_conv_relu(_deployed(card, device, names[0]))
    loops[f"{names[0]}, cudnn_convolution_relu"] = FrameLoop(fused, size, torch.device(device))
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
    """Time a live eager thread alone and beside whole compilations: in a child, and here as before and after the cures.

    Findings A7 (a compiler in this process holds up its frames) and A8 (cuDNN was told to time its algorithms in the
    middle, anew for every convolution of the live thread). Each compilation has a cache of its own.
    """
    from torch._inductor.utils import fresh_cache

    eager = EagerEngine(card, size, device=device, precision="fp32")
    frame = np.zeros((*size, 3), np.uint8)

    def in_a_child() -> None:
        with fresh_cache():
            warm_in_child(card, size, "fp32", threading.Event(), child=_child(device))

    def compiled(*, cured: bool) -> None:
        torch.compiler.reset()
        if not cured:
            torch.backends.cudnn.benchmark = False  # until the engine sets it, as all do now when they are opened
        steps = nullcontext() if cured else mock.patch.object(exporting, "in_small_steps", nullcontext)
        with steps, fresh_cache():
            InductorEngine(card, size, precision="fp32", device=device).close()

    ways = {
        "a child that compiles": in_a_child,
        "a compiler, without A7's and A8's cures": lambda: compiled(cured=False),
        "a compiler": lambda: compiled(cured=True),
    }

    def timed(until: Callable[[], bool]) -> Timing:
        times: list[float] = []
        while len(times) < 5 or not until():
            began_s = time.perf_counter()
            eager.segment(frame)
            times.append((time.perf_counter() - began_s) * 1e3)
        return Timing.of(times)

    began_s = time.perf_counter()
    timings = {"alone": timed(lambda: time.perf_counter() - began_s > 2)}
    for name, way in ways.items():
        thread = threading.Thread(target=way)
        thread.start()
        timings[f"beside {name}"] = timed(lambda: not thread.is_alive())  # noqa: B023  # called in this round only
        thread.join()
    eager.close()
    for name, timing in timings.items():
        yield f"eager {name}: p50 {timing.p50:.2f}, p95 {timing.p95:.2f}, p99 {timing.p99:.2f} ms (n {timing.n})"


def rtx_beside_eager(card: Card, size: Size) -> Iterator[str]:
    """Open TensorRT-RTX without and with its kept kernels while eager frames run (finding A4), and compare labels."""
    problem = rtx_problem()
    if problem is not None:
        yield f"TensorRT-RTX: left out ({problem})"
        return
    eager = EagerEngine(card, size, precision="fp16")
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    expected, ended, wrong = eager.segment(frame), threading.Event(), [0, 0]

    def live() -> None:
        while not ended.is_set():
            wrong[0] += not (eager.segment(frame) == expected).all()
            wrong[1] += 1

    thread = threading.Thread(target=live)
    thread.start()
    for kept in ("the first time", "with what was kept"):
        began_s = time.perf_counter()
        engine = open_rtx(card, size, "fp16", "")
        seconds = time.perf_counter() - began_s
        agreed = float((engine.segment(frame) == expected).mean())
        engine.close()
        yield f"TensorRT-RTX {kept}: open in {seconds:.2f} s, {agreed:.2%} of labels as eager fp16"
    ended.set()
    thread.join()
    eager.close()
    yield f"beside it {wrong[1]} eager frames, {wrong[0]} of them wrong"


def _child(device: str) -> tuple[str, ...]:
    """Return the command of a child that compiles for `device`."""
    if device == "cuda":
        return CHILD
    imports = "import sys; from functools import partial; from segnet_live.engine.nvidia import build_process as b"
    run = f"b.InductorEngine = partial(b.InductorEngine, device={device!r}); sys.exit(b.main(sys.argv))"
    return sys.executable, "-c", f"{imports}; {run}"


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
    print("\n".join(rtx_beside_eager(card, size)))
    print("then: nsys for launches per frame (45 fast, 65 segnet); suspend and resume; a governor on 6 GB")


if __name__ == "__main__":
    main()

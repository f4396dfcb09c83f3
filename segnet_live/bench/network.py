"""Count what a network costs whatever runs it; measure the paper's Table 6 in plain PyTorch."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from segnet_live.bench.measure import Timing, timed_ms
from segnet_live.bench.memory import peak_rss_mib, rss_mib
from segnet_live.card import Card
from segnet_live.classes import CAMVID_NAMES
from segnet_live.engine.nvidia.device import best_device, set_up_cudnn
from segnet_live.frame import Size
from segnet_live.nets.load import load_network
from segnet_live.nets.networks import NETWORKS, TABLE_1, TABLE_6
from segnet_live.nets.pooling import form_for
from segnet_live.nets.segnet import Network

TRAINING_BATCH = 4
ITERATIONS = 10
FEWEST = 3


@dataclass(frozen=True, slots=True)
class PaperRow:
    """The columns of arXiv:1511.00561, Table 6, with the paper's own definitions: mini-batch 1, 10 iterations averaged
    (fewer of a slow network); training memory for a mini-batch of 4.

    Attributes:
        model: the card's name, or the network's where the weights are random.
        architecture: the network, by which the paper's own figures are found.
        trained: False for random weights, which take the same time and memory.
        device: "cpu" or the GPU's name. Memory is the process's peak above what it had with all libraries loaded (CPU),
            or torch's peak of reserved device memory (GPU).
        threads: of the CPU.
        parameters: the number of trained ones.
        storage_multiplier: see `Network.storage_multiplier`.
        n: iterations averaged.
        model_mib: the weights file as shipped; None for random weights.
    """

    model: str
    architecture: str
    trained: bool
    device: str
    threads: int
    input_size: Size
    n: int
    forward_ms: float
    backward_ms: float
    training_mib: float
    inference_mib: float
    parameters: int
    storage_multiplier: float
    model_mib: float | None


def parameters(network: nn.Module) -> int:
    """Return the number of trained parameters."""
    return sum(p.numel() for p in network.parameters())


def gflop(network: Network, size: Size, device: Literal["meta", "cpu"] = "meta") -> float:
    """Return billions of operations for one (height, width) image: convolutions and matrices, a multiply-add being two.

    Args:
        device: "meta" computes nothing; "cpu" takes as long as a frame, and any network, also one whose forward makes
            tensors of its own.
    """
    network = copy.deepcopy(network).to(device).eval()
    network.pooling = form_for(network, device)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros((1, 3, *size), device=device))
    return float(counter.get_total_flops() / 1e9)


def paper_subjects(cards: Sequence[Card]) -> tuple[Card | str, ...]:
    """Return a card or a name for every network there is: `cards`, then those that none of them has weights for.

    The latter in the paper's order: Table 6's, Table 1's, the others.
    """
    have = {card.architecture for card in cards}
    return *cards, *(name for name in dict.fromkeys((*TABLE_6, *TABLE_1, *NETWORKS)) if name not in have)


def paper_row(subject: Card | str, size: Size, seconds: float = math.inf) -> PaperRow:
    """Measure one row; call it in a process of its own, whose peak memory nothing else has raised.

    Args:
        subject: a card, or the name of a network to run with random weights and CamVid's number of classes.
        seconds: after so long, forward and backward passes end with three iterations or more.

    Raises:
        CardError: the weights are damaged or do not fit.
    """
    device = torch.device(best_device())
    card = subject if isinstance(subject, Card) else None
    set_up_cudnn()
    F.conv2d(torch.zeros((1, 1, 8, 8), device=device), torch.zeros((1, 1, 3, 3), device=device))  # loads the libraries
    base_mib = rss_mib()
    network = (NETWORKS[str(subject)](len(CAMVID_NAMES)) if card is None else load_network(card)).to(device).eval()
    image = torch.rand((1, 3 if card is None else card.channels, *size), device=device)

    def timed(work: Callable[[], object]) -> float:
        def finished() -> None:
            work()
            if device.type == "cuda":
                torch.cuda.synchronize()

        return timed_ms(finished)

    def peak_mib() -> float:
        return torch.cuda.max_memory_reserved() / 2**20 if device.type == "cuda" else peak_rss_mib() - base_mib

    def iterated(once: Callable[[], float]) -> list[float]:
        once()  # warm-up
        ends_s = time.perf_counter() + seconds
        times_ms: list[float] = []
        while len(times_ms) < ITERATIONS and (len(times_ms) < FEWEST or time.perf_counter() < ends_s):
            times_ms.append(once())
        return times_ms

    with torch.inference_mode():
        forward = iterated(lambda: timed(lambda: network(image)))
    inference_mib = peak_mib()

    network.train()

    def backward_ms() -> float:
        loss = network(image).square().mean()
        timed(lambda: loss)  # waits for the forward pass
        return timed(lambda: torch.autograd.backward(loss))

    backward = iterated(backward_ms)
    truth = torch.zeros((TRAINING_BATCH, *size), dtype=torch.long, device=device)
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-6, momentum=0.9)
    optimiser.step()  # by the gradients that are there: from now on it has its memory, as in every step but the first
    optimiser.zero_grad()
    loss = F.cross_entropy(network(image.expand(TRAINING_BATCH, -1, -1, -1).contiguous()), truth)
    torch.autograd.backward(loss)
    timed(optimiser.step)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return PaperRow(
        model=str(subject) if card is None else card.name,
        architecture=str(subject) if card is None else card.architecture,
        trained=card is not None,
        device=name,
        threads=torch.get_num_threads(),
        input_size=size,
        n=min(len(forward), len(backward)),
        forward_ms=Timing.of(forward).mean,
        backward_ms=Timing.of(backward).mean,
        training_mib=peak_mib(),
        inference_mib=inference_mib,
        parameters=parameters(network),
        storage_multiplier=network.storage_multiplier,
        model_mib=None if card is None else card.weights_mib,
    )

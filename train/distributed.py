"""One process or many: what `torchrun -m train fit` starts, and the numbers the processes share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among all that train together; rank 0 writes and prints."""

    rank: int
    world: int
    device: torch.device

    def shared(self, numbers: Tensor) -> Tensor:
        """The sums over all processes; blocks until each has come here."""
        if self.world > 1:
            dist.all_reduce(numbers)
        return numbers

    def agreed(self, seconds: float, up: bool, asked: bool) -> tuple[float, bool, bool]:
        """Rank 0's clock, and whether any process's time is up or stop was asked for: the same everywhere."""
        if self.world == 1:
            return seconds, up, asked
        flags = self.shared(torch.tensor([seconds * (self.rank == 0), up, asked], device=self.device)).tolist()
        return flags[0], bool(flags[1]), bool(flags[2])

    def wrapped(self, network: nn.Module) -> nn.Module:
        """`network` with gradients averaged over all processes, and on GPUs batch statistics over the whole batch.

        On CPUs each process keeps the statistics of its own share: PyTorch synchronises batch norm on GPUs only.
        """
        if self.world == 1:
            return network
        if self.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
            return nn.parallel.DistributedDataParallel(network, device_ids=[self.device])
        return nn.parallel.DistributedDataParallel(network)

    def device_busy(self) -> float | None:
        """Share 0..1 of the last moments in which the GPU computed, as its driver counts; None where it cannot say."""
        if self.device.type != "cuda":
            return None
        import pynvml

        try:
            return float(torch.cuda.utilization(self.device)) / 100
        except (pynvml.NVMLError, RuntimeError):  # for example on a slice of a GPU
            return None


@contextmanager
def joined() -> Iterator[Processes]:
    """This process with all others that torchrun started, or alone."""
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    if world > 1:
        dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Processes(rank, world, device)
    finally:
        if world > 1:
            dist.destroy_process_group()

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

    def all_reduce_sum(self, numbers: Tensor) -> Tensor:
        """Replace `numbers` by their sums over all processes, and return them; blocks until each has come here."""
        if self.world > 1:
            dist.all_reduce(numbers)
        return numbers

    def sync_clock(self, seconds: float, up: bool, asked: bool) -> tuple[float, bool, bool]:
        """Return rank 0's clock, and whether any process's time is up or stop was asked for: the same everywhere."""
        if self.world == 1:
            return seconds, up, asked
        flags = self.all_reduce_sum(torch.tensor([seconds * (self.rank == 0), up, asked], device=self.device)).tolist()
        return flags[0], bool(flags[1]), bool(flags[2])

    def average_gradients(self, module: nn.Module) -> None:
        """Bring the gradients of a module outside `wrapped` to their mean over all processes."""
        if self.world > 1:
            for parameter in module.parameters():
                if parameter.grad is not None:
                    self.all_reduce_sum(parameter.grad).div_(self.world)

    def wrapped(self, network: nn.Module) -> nn.Module:
        """Return `network` with gradients averaged over all processes, and on GPUs whole batches' statistics.

        On CPUs each process keeps the statistics of its own share: PyTorch synchronises batch norm on GPUs only.
        """
        if self.world == 1:
            return network
        if self.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
            return nn.parallel.DistributedDataParallel(network, device_ids=[self.device])
        return nn.parallel.DistributedDataParallel(network)

    def device_busy(self) -> float | None:
        """Return the share 0..1 of the last moments in which the GPU computed; None where its driver cannot say."""
        if self.device.type != "cuda":
            return None
        import pynvml

        try:
            return float(torch.cuda.utilization(self.device)) / 100
        except (pynvml.NVMLError, RuntimeError):  # for example on a slice of a GPU
            return None


@contextmanager
def init_distributed() -> Iterator[Processes]:
    """Join this process with all others that torchrun started, if it did, and yield what they share."""
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

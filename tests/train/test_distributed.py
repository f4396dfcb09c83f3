"""Training in two processes, with the environment torchrun gives them, against one process with the doubled batch."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import torch

from tests.train import two_processes


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_pair(camvid: Path, out: Path, *more: str) -> list[subprocess.Popen[str]]:
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
    shared |= {"CUDA_VISIBLE_DEVICES": "", "GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    return [
        subprocess.Popen(
            [sys.executable, "-m", "tests.train.two_processes", str(camvid), str(out), *more],
            cwd=Path(__file__).resolve().parents[2],
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        for rank in (0, 1)
    ]


def weights_of(workers: list[subprocess.Popen[str]], out: Path) -> list[dict[str, torch.Tensor]]:
    try:
        errors = [worker.communicate(timeout=240)[1] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    assert [worker.returncode for worker in workers] == [0, 0], errors
    return [torch.load(out / f"weights-{rank}.pt", weights_only=True) for rank in (0, 1)]


def test_two_processes_train_as_one_with_the_doubled_batch(camvid: Path, tmp_path: Path) -> None:
    alone, pair = tmp_path / "alone", tmp_path / "pair"
    workers = start_pair(camvid, pair, "1")
    two_processes.train(camvid, alone, 2)
    weights = weights_of(workers, pair)
    expected = torch.load(alone / "weights-0.pt", weights_only=True)
    for name, value in expected.items():
        assert torch.equal(weights[0][name], weights[1][name])
        # sums run in another order; sensor noise differs between processes by design, too little to matter here
        torch.testing.assert_close(weights[0][name], value, rtol=2e-2, atol=2e-3)


def test_the_second_classifier_is_one_and_the_same_in_every_process(camvid: Path, tmp_path: Path) -> None:
    first, second = weights_of(start_pair(camvid, tmp_path, "1", "auxiliary"), tmp_path)
    assert first
    assert all(torch.equal(value, second[name]) for name, value in first.items())

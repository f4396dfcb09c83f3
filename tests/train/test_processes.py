"""Training in two processes, as torchrun starts them, against one process with the doubled batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

from tests.train import two_processes


def test_two_processes_train_as_one_with_the_doubled_batch(camvid: Path, tmp_path: Path) -> None:
    alone, pair = tmp_path / "alone", tmp_path / "pair"
    two_processes.train(camvid, alone, 2)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = ["-m", "tests.train.two_processes", str(camvid), str(pair), "1"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "CUDA_VISIBLE_DEVICES": ""}
    root = Path(__file__).resolve().parents[2]
    # in a session of its own, so that a hang takes the workers down with the launcher
    launcher = subprocess.Popen(
        [*torchrun, *script], cwd=root, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        errors = launcher.communicate(timeout=120)[1]
    finally:
        if launcher.poll() is None:
            launcher.terminate()  # torchrun passes it on to its workers
            launcher.communicate()
    assert launcher.returncode == 0, errors[-3000:]
    weights = [torch.load(path, weights_only=True) for path in (pair / "weights-0.pt", pair / "weights-1.pt")]
    expected = torch.load(alone / "weights-0.pt", weights_only=True)
    for name, value in expected.items():
        assert torch.equal(weights[0][name], weights[1][name])
        # sums run in another order; sensor noise differs between processes by design, too little to matter here
        torch.testing.assert_close(weights[0][name], value, rtol=2e-2, atol=2e-3)

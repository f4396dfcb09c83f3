"""What a worker takes of a cluster's machines, and addresses at which there is none. Nothing here starts Ray."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from segnet_live.config import RunConfig, SourceSpec
from segnet_live.errors import UsageError
from segnet_live.fleet import cluster
from segnet_live.fleet.cluster import Share, connected, room_for, share_of

GIB = float(1 << 30)
SMALL, LARGE = {"CPU": 4.0, "memory": 8 * GIB}, {"CPU": 32.0, "memory": 128 * GIB}
WITH_GPUS = {"CPU": 64.0, "GPU": 8.0, "memory": 256 * GIB}


@pytest.mark.parametrize(
    ("nodes", "pieces", "backend", "share", "workers"),
    [
        ([SMALL, LARGE], 500, "auto", Share(1), 36),  # a core a file
        ([SMALL, LARGE], 2, "auto", Share(16), 2),  # more cores a file, where machines have them
        ([SMALL], 1, "auto", Share(4), 1),
        ([{"CPU": 64.0, "memory": 2 * GIB}], 500, "auto", Share(1), 2),  # memory for two
        ([SMALL, WITH_GPUS], 500, "auto", Share(8, 1), 8),  # a GPU each, with its part of the cores
        ([SMALL, WITH_GPUS], 500, "openvino", Share(1), 68),
    ],
)
def test_workers_share_the_machines(
    monkeypatch: pytest.MonkeyPatch, nodes: list, pieces: int, backend: str, share: Share, workers: int
) -> None:
    monkeypatch.setattr(cluster, "_nodes", lambda: nodes)
    assert share_of(pieces, backend) == share  # type: ignore[arg-type]
    assert room_for(share) == workers


def test_a_cluster_without_cores_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_nodes", lambda: [{"memory": GIB}])
    with pytest.raises(UsageError, match="no cores; start its machines with"):
        share_of(1, "auto")


def test_only_a_cluster_that_was_started_for_all_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert cluster._cluster_here() is None
    (tmp_path / "ray").mkdir()
    noted = tmp_path / "ray" / "ray_current_cluster"
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        noted.write_text(address)
        assert cluster._cluster_here() == address
    noted.write_text("127.0.0.1:1")  # it ended
    assert cluster._cluster_here() is None
    monkeypatch.setenv("RAY_ADDRESS", "far:6379")
    assert cluster._cluster_here() == "far:6379"


def test_what_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    for address, match in (("somewhere", "HOST:PORT"), ("127.0.0.1:1", "nothing answers there")):
        with pytest.raises(UsageError, match=match), connected(address, print):
            pytest.fail("there is no cluster")
    with pytest.raises(UsageError, match="--ray is for many videos"):
        RunConfig(source=SourceSpec("video", "drive.mp4"), headless=True, ray="auto")
    with pytest.raises(UsageError, match="--piece is for a cluster"):
        RunConfig(source=SourceSpec("video", str(tmp_path)), headless=True, piece_s=60)
    with pytest.raises(UsageError, match="--piece got 0"):
        RunConfig(source=SourceSpec("video", str(tmp_path)), headless=True, ray="auto", piece_s=0)

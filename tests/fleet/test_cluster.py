"""What a worker takes of a cluster's machines, and addresses at which there is none. Nothing here starts Ray."""

from __future__ import annotations

import os
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


@pytest.mark.parametrize(
    ("noted", "environment", "is_here", "mode", "own"),
    [
        (None, {}, False, "token", True),  # a cluster of this process has a token that is kept nowhere
        (None, {"RAY_AUTH_TOKEN": "x" * 64}, False, "token", False),
        ("far:6379", {}, False, None, False),
        ("here:6379", {}, True, None, False),  # `ray start` found no token either
        ("here:6379", {"RAY_AUTH_TOKEN": "x" * 64}, True, "token", False),
        ("far:6379", {"RAY_AUTH_TOKEN": "x" * 64}, False, None, False),  # Ray's rule for an address
        (None, {"RAY_AUTH_MODE": "disabled"}, False, "disabled", False),
    ],
)
def test_a_token_is_sent_where_ray_start_asks_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noted: str | None, environment: dict, is_here: bool,
    mode: str | None, own: bool,
) -> None:  # fmt: skip
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")  # so that what is set here goes with the test
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    cluster._agree_on_token(noted, is_here=is_here)
    assert os.environ.get("RAY_AUTH_MODE") == mode
    assert ("RAY_AUTH_TOKEN" in os.environ) == (own or "RAY_AUTH_TOKEN" in environment)


def test_the_token_that_lies_in_the_home_folder_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("x" * 64)
    cluster._agree_on_token("here:6379", is_here=True)
    assert (os.environ["RAY_AUTH_MODE"], "RAY_AUTH_TOKEN" in os.environ) == ("token", False)


def test_a_cluster_that_refuses_is_told_of_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ray = pytest.importorskip("ray")

    def refusing(*_: object, **__: object) -> None:
        os.write(2, b"gcs_client.cc: Unauthenticated\n")
        raise ConnectionError("Failed to connect")

    monkeypatch.setattr(ray, "init", refusing)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(cluster, "_cluster_here", lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        expected = r"lets us in \(Failed to connect\); if it wants a token: export RAY_AUTH_MODE=token"
        with pytest.raises(UsageError, match=expected), connected(address, print):
            pytest.fail("it lets nobody in")
    assert capfd.readouterr().err == ""

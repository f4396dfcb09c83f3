"""Connect to a Ray cluster, and declare what a worker takes of its machine."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segnet_live.config import Backend
from segnet_live.errors import UsageError, first_line
from segnet_live.pipeline.headless.folder import MEMORY_EACH
from segnet_live.system.cores import cores

_OBJECT_STORE = 80 << 20
"""Bytes of shared memory for a cluster of one machine: no picture passes through it, and Ray asks for 75 MiB."""
_KNOCK_S = 5.0
_ADVICE = "start a cluster with `ray start --head`, or leave the address to auto"
_TOKEN_ADVICE = (
    "if it wants a token: export RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN as `ray get-auth-token` prints it on its head"
)
SAME_TOKEN = "set RAY_AUTH_MODE (token or disabled) and the token as they were when the cluster was started"
_RETRIES = 2
"""How often a file is begun again whose worker died; one that ends three workers is at fault itself."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one worker takes of a machine."""

    cores: int
    gpus: int = 0

    @property
    def resources(self) -> dict[str, float]:
        """The same under the names of Ray's resources."""
        wanted: dict[str, float] = {"CPU": self.cores, "memory": MEMORY_EACH}
        return wanted | {"GPU": self.gpus} if self.gpus else wanted

    @property
    def options(self) -> dict[str, Any]:
        """The options of an actor that takes it: Ray restarts it, and begins again what it was doing."""
        declared = {"num_cpus": self.cores, "num_gpus": self.gpus, "memory": MEMORY_EACH}
        return declared | {"max_restarts": -1, "max_task_retries": _RETRIES}


@contextlib.contextmanager
def connected(address: str, report: Callable[[str], None]) -> Iterator[None]:
    """Be connected to a cluster in the body; a connection that this process has already is taken as it is.

    Args:
        address: a cluster's HOST:PORT, or "auto": the one that this machine belongs to, else this machine alone.
        report: takes a line about a cluster that was started.

    Raises:
        UsageError: Ray is not installed, or no cluster answers there.
    """
    if importlib.util.find_spec("ray") is None:
        raise UsageError("--ray needs Ray, which is not installed", "pip install 'segnet-live[fleet]'")
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():
        yield
        return
    here = _cluster_here()
    cluster = here if address == "auto" else address
    if cluster is not None:
        _knock(cluster)
    _agree_on_token(cluster, is_here=cluster is not None and cluster == here)
    # Read when Ray is imported, like the token. Whoever wants to send its makers statistics sets it to 1.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if cluster is not None:
            with _stderr_shut():
                ray.init(cluster, **quiet)
        else:
            ray.init("local", num_cpus=cores(), include_dashboard=False, object_store_memory=_OBJECT_STORE, **quiet)
            report(f"ray: this machine belongs to no cluster; started one of its {cores()} cores for this run")
    except (ConnectionError, RuntimeError, ValueError, OSError, ImportError) as error:
        ray.shutdown()
        advice = _ADVICE if cluster is None else _TOKEN_ADVICE
        raise UsageError(f"--ray {address}: no cluster lets us in ({first_line(error)})", advice) from error
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _stderr_shut() -> Iterator[None]:
    """Keep the terminal clean of what Ray's C++ part writes every second while it is refused: the exception follows."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _agree_on_token(cluster: str | None, *, is_here: bool) -> None:
    """Say whether Ray shall use a token, unless RAY_AUTH_MODE says it: Ray 2.60 has a rule of its own for each case.

    Where a token lies in the home folder, `ray start --head` asks for it from then on; who connects by an address does
    not send it, and is refused after 20 s. So we send it to the cluster of this machine. A cluster that a process
    starts for itself always has one, which Ray would leave in the home folder: it gets one that nobody keeps.

    Args:
        cluster: its address, None for one that is to be started.
        is_here: `ray start` made this machine a part of it.
    """
    if "RAY_AUTH_MODE" in os.environ:
        return
    named = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    has_token = named or (Path.home() / ".ray" / "auth_token").is_file()
    if cluster is None and not has_token:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    if cluster is None or (is_here and has_token):
        os.environ["RAY_AUTH_MODE"] = "token"


def _cluster_here() -> str | None:
    """Return the address of the cluster that `ray start` made this machine a part of, None where there is none.

    Ray's own "auto" also takes the cluster that another program has started for itself, and which ends with it.
    """
    named = os.environ.get("RAY_ADDRESS", "")
    if named and named != "auto":
        return named
    noted = Path(os.environ.get("RAY_TMPDIR", tempfile.gettempdir())) / "ray" / "ray_current_cluster"
    try:
        address = noted.read_text(encoding="utf-8").strip()
        _knock(address)
    except (OSError, UnicodeDecodeError, UsageError):
        return None
    return address


def _knock(address: str) -> None:
    """Check that something answers at a cluster's address: Ray itself tries for minutes, and says so in its own words.

    Raises:
        UsageError: it is no address, or nothing answers there.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdecimal():
        raise UsageError(f"--ray got {address!r}", "give auto, or the HOST:PORT that `ray start --head` prints")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S).close()
    except (OSError, OverflowError) as error:
        raise UsageError(f"--ray {address}: nothing answers there ({first_line(error)})", _ADVICE) from error


def share_of(pieces: int, backend: Backend) -> Share:
    """Return what each worker takes so that `pieces` keep the cluster busy.

    A core each, as two files on a core each take less time than two cores take for one by one; more where there are
    fewer pieces than cores. Where the cluster has GPUs and the network may run on them, each worker takes one, with its
    part of the cores.

    Raises:
        UsageError: the cluster has no cores.
    """
    nodes = _nodes()
    with_gpu = [node for node in nodes if node.get("GPU", 0) >= 1 and node.get("CPU", 0) >= 1]
    if with_gpu and backend != "openvino":
        return Share(max(1, min(int(node["CPU"] // node["GPU"]) for node in with_gpu)), 1)
    each = [int(node.get("CPU", 0)) for node in nodes]
    if not sum(each):
        raise UsageError("the cluster has no cores", "start its machines with `ray start --num-cpus N`")
    most = max(1, min(sum(each) // max(1, pieces), max(each)))
    # A machine's rest that is smaller than a share stays idle: better smaller shares for all.
    fitting = (share for share in range(most, 1, -1) if sum(cores // share for cores in each) >= pieces)
    return Share(next(fitting, 1))


def room_for(share: Share) -> int:
    """Return how many workers the cluster's machines hold, as they are now."""
    return sum(min(int(node.get(name, 0) // part) for name, part in share.resources.items()) for node in _nodes())


def _nodes() -> list[dict[str, float]]:
    """Return what each living machine of the cluster declares."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]

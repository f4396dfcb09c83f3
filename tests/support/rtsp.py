"""A real RTSP server in a process of its own, which can die, fall silent and come back at the same port."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("rtsp_server.py")
PYTHON = Path("/usr/bin/python3")
PACKAGES = "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good"


class Server:
    """GStreamer's, from Debian's packages; a test is skipped where they are absent."""

    def __init__(self, film: Path | None = None) -> None:
        self._film = film
        self._process: subprocess.Popen[str] | None = None
        self.port = "0"

    def start(self, *options: str) -> None:
        if not PYTHON.exists():
            pytest.skip(f"no {PYTHON}; the RTSP server is Debian's: install {PACKAGES}")
        command = [str(PYTHON), "-I", str(SCRIPT), "--port", self.port, *options]
        if self._film is not None:
            command += ["--film", str(self._film)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        said = self._process.stdout.readline().split()
        if said[:1] != ["ready"]:
            pytest.skip(
                f"no RTSP server ({self._process.communicate()[1].strip().splitlines()[-1]}); install {PACKAGES}"
            )
        self.port = said[1]

    def die(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def fall_silent(self) -> None:
        """Answer nothing any more, with all connections open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def url(self, path: str, login: str = "") -> str:
        return f"rtsp://{login}127.0.0.1:{self.port}/{path}"

"""A real browser without a window: Chromium, where the machine has one."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import pytest

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
DRIVER = shutil.which("chromedriver")
needs_chromium = pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="no Chromium with its driver here")


class Browser:
    """A browser of WebDriver's, driven over HTTP on this machine."""

    def __init__(self, port: int, folder: Path) -> None:
        self._at = f"http://127.0.0.1:{port}"
        self._open = build_opener(ProxyHandler({})).open
        flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            f"--user-data-dir={folder}",
        ]
        options = {"binary": CHROMIUM, "args": flags}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        made = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{made['sessionId']}"

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self._at + path, data, {"Content-Type": "application/json"}, method=method)
        with self._open(request, timeout=240) as answer:
            return json.loads(answer.read())["value"]

    def show(self, page: Path | str, *, dark: bool = False, width: int = 1200, height: int = 900) -> None:
        """Open a file or an address at a width in CSS pixels, also narrower than any window, light or dark."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", media="", features=[feature])
        self._call("POST", f"{self._session}/url", {"url": page if isinstance(page, str) else page.as_uri()})

    def run(self, script: str) -> Any:
        """Return what a function body of JavaScript returns on the page."""
        return self._call("POST", f"{self._session}/execute/sync", {"script": script, "args": []})

    def picture(self) -> bytes:
        """Return the whole page as PNG."""
        shot = self.devtools("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(shot["data"])

    def pdf(self) -> bytes:
        """Return the page as a printer gets it."""
        return base64.b64decode(self._call("POST", f"{self._session}/print", {"background": True}))

    def complaints(self) -> list[str]:
        """Return what the browser found wrong with the page."""
        return [entry["message"] for entry in self._call("POST", f"{self._session}/se/log", {"type": "browser"})]

    def devtools(self, command: str, **parameters: object) -> Any:
        return self._call("POST", f"{self._session}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def close(self) -> None:
        self._call("DELETE", self._session)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Run a browser during the body."""
    assert DRIVER is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = os.environ | {"HOME": folder}
        driver = subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, text=True, env=home)
        try:
            assert driver.stdout is not None
            line = next(line for line in driver.stdout if "started successfully on port" in line)
            shown = Browser(int(line.rstrip().rstrip(".").rpartition(" ")[2]), Path(folder) / "profile")
            try:
                yield shown
            finally:
                shown.close()
        finally:
            driver.terminate()
            driver.wait(20)
            if driver.stdout is not None:
                driver.stdout.close()

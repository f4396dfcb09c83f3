"""Hardware decoding: taken where it opens, left where it does not; the devices are fakes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import av
import pytest

from segnet_live.errors import SourceError
from segnet_live.video import container, decoders, file
from segnet_live.video.decoders import Device
from segnet_live.video.file import FileSource

MakeClip: TypeAlias = Callable[..., str]


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "_failed", set())


def offer(monkeypatch: pytest.MonkeyPatch, *offered: Device) -> list[Any]:
    """Let `auto` try these devices, and return the devices that containers were opened with."""
    monkeypatch.setattr(file, "devices", lambda decoder: offered if decoder == "auto" else decoders.devices(decoder))
    opened: list[Any] = []

    class FakeDevice:
        def __init__(self, name: str, *, allow_software_fallback: bool) -> None:
            assert not allow_software_fallback
            self.name = name

    def open_with(*arguments: Any, hwaccel: FakeDevice | None = None, **options: Any) -> Any:
        opened.append(hwaccel.name if hwaccel else None)
        if hwaccel is not None and hwaccel.name != "vaapi":
            raise RuntimeError("no such device")
        return real_open(*arguments, **options)

    real_open = av.open
    monkeypatch.setattr(container, "HWAccel", FakeDevice)
    monkeypatch.setattr(container.av, "open", open_with)
    return opened


def test_a_device_that_opens_decodes(clip: MakeClip, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip()
    opened = offer(monkeypatch, "cuda", "vaapi")
    source = FileSource(path)
    assert source.device == "vaapi"
    assert source.read() is not None
    assert opened == ["cuda", "vaapi"]
    source.close()


def test_the_cpu_stands_in_and_a_failure_is_not_repeated(clip: MakeClip, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip()
    offer(monkeypatch, "cuda")
    source = FileSource(path)
    assert source.device is None
    assert source.read() is not None
    assert decoders._failed == {"cuda"}
    source.close()


def test_a_device_that_is_asked_for_and_fails_is_an_error(clip: MakeClip, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clip()
    opened = offer(monkeypatch)
    with pytest.raises(SourceError, match=r"--decoder cuda does not open \(no such device\); use --decoder auto"):
        FileSource(path, decoder="cuda")
    assert FileSource(path, decoder="cpu").device is None
    assert opened == ["cuda", None, None]


def test_a_missing_file_is_no_failure_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "cuda")
    with pytest.raises(SourceError, match="no such file"):
        FileSource("missing.mp4")
    assert not decoders._failed

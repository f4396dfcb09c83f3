"""The built wheel, outside the checkout: what it holds, and that it does the main job."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import av
import pytest

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(CHECKOUT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_wheel_has_one_top_level_package_and_every_released_model(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {n.split("/")[0] for n in names if ".dist-info/" not in n and ".data/" not in n} == {"segnet_live"}
    for card in CHECKOUT.glob("models/*/card.json"):
        for name in {path.name for path in card.parent.iterdir()} | {"weights.safetensors"}:
            assert f"segnet_live/_shipped/models/{card.parent.name}/{name}" in names
    assert {f"segnet_live/_shipped/assets/{name}" for name in ("drive.mp4", "drive-labels.mkv")} <= set(names)
    assert "segnet_live/py.typed" in names
    page = {f"segnet_live/serve/page/{path.name}" for path in (CHECKOUT / "segnet_live/serve/page").iterdir()}
    assert page <= set(names)
    shared = {n.partition(".data/data/")[2] for n in names}
    assert {
        "share/applications/segnet-live.desktop",
        "share/bash-completion/completions/segnet-live",
        "share/fish/vendor_completions.d/segnet-live.fish",
        "share/icons/hicolor/scalable/apps/segnet-live.svg",
        "share/man/man1/segnet-live.1",
        "share/zsh/site-functions/_segnet-live",
    } <= shared
    assert wheel.stat().st_size < 100 * 2**20


def test_installed_wheel_annotates_the_shipped_clip(wheel: Path, tmp_path: Path) -> None:
    site, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    environment = os.environ | {"PYTHONPATH": str(site)}
    where = [sys.executable, "-c", "import segnet_live; print(segnet_live.__file__)"]
    found = subprocess.run(where, check=True, capture_output=True, text=True, cwd=work, env=environment).stdout
    assert found.startswith(str(site))
    clip = site / "segnet_live/_shipped/assets/drive.mp4"
    command = [sys.executable, "-m", "segnet_live", "--headless", "--video", str(clip), "--record", "out.mp4"]
    done = subprocess.run(
        [*command, "--duration", "1"], check=False, capture_output=True, text=True, cwd=work, env=environment
    )
    assert done.returncode == 0, done.stderr
    with av.open(str(work / "out.mp4")) as video, av.open(str(clip)) as source:
        frames = sum(1 for _ in video.decode(video=0))
        rate = source.streams.video[0].average_rate
        assert rate is not None
        assert frames == pytest.approx(float(rate), abs=1)

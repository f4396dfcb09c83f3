"""README's two commands are the ones the gate runs, and the ones that work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from segnet_live.cli import main

CHECKOUT = Path(__file__).resolve().parent.parent


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", (CHECKOUT / "README.md").read_text(encoding="utf-8"), re.S)
    return [block.strip() for block in blocks]


def test_the_gate_runs_the_second_command_word_for_word() -> None:
    assert commands()[1] in (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_the_first_command_annotates_the_shipped_clip(tmp_path: Path) -> None:
    install, run = commands()[0].split(" && ")
    assert install == "pip install -e ."
    words = run.split()
    assert words[0] == "segnet-live"
    out = tmp_path / "annotated.mp4"
    arguments = [str(CHECKOUT / w) if w.startswith("assets/") else str(out) if w == out.name else w for w in words[1:]]
    assert main([*arguments, "--duration", "1"]) == 0
    assert out.stat().st_size > 10_000


def test_the_python_lines_run_as_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", (CHECKOUT / "README.md").read_text(encoding="utf-8"), re.S)
    assert len(script.strip().splitlines()) <= 10
    (tmp_path / "assets").mkdir()
    main(
        ["--headless", "--video", str(CHECKOUT / "assets" / "drive.mp4"), "--duration", "0.2", "--view", "original",
         "--record", str(tmp_path / "assets" / "drive.mp4")]
    )  # fmt: skip
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(script, "README.md", "exec"), names)
    assert (tmp_path / "from-python.mp4").stat().st_size > 1000
    assert names["labels"].shape == (360, 640)  # type: ignore[attr-defined]

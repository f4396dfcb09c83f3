"""README's two commands are the ones the gate runs, and the ones that work."""

from __future__ import annotations

import re
from pathlib import Path

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

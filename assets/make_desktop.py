"""Make the shell completions and the man page in `assets/desktop` from the command's own parsers.

    pip install -e '.[test]' && python assets/make_desktop.py

The wheel installs them under `share/`, where bash, zsh, fish and man look in an environment whose `bin` is on the PATH.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import shtab
from argparse_manpage.manpage import Manpage

from segnet_live import __version__
from segnet_live.cli import EXIT_CODES, whole_parser

HERE = Path(__file__).resolve().parent / "desktop"
SHELLS = {"bash": "segnet-live.bash", "zsh": "_segnet-live", "fish": "segnet-live.fish"}
EPOCH = "2026-11-21"


def complete_files(parser: argparse.ArgumentParser) -> None:
    """Let options that take a file or a folder complete names of them."""
    for action in parser._actions:
        wanted = str(action.metavar or "")
        if isinstance(action, argparse._SubParsersAction):
            for command in dict.fromkeys(action.choices.values()):
                complete_files(command)
        elif any(word in wanted for word in ("FILE", "VIDEO", "OUT", "GLOB")):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif any(word in wanted for word in ("DIR", "DRAFTS")):
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]


def completion(shell: str) -> str:
    """Return the completion script for a shell."""
    parser = whole_parser()
    complete_files(parser)
    return shtab.complete(parser, shell=shell)


def man_page() -> str:
    """Return the man page."""
    parser = whole_parser()
    parser.epilog = None
    codes = "\n".join(
        f".TP\n{line.split(maxsplit=1)[0]}\n{line.split(maxsplit=1)[1]}" for line in EXIT_CODES.splitlines()[1:]
    )
    parser._manpage = [{"heading": "exit status", "content": codes}]  # type: ignore[attr-defined]
    data = {
        "date": EPOCH,
        "project_name": "segnet-live",
        "version": __version__,
        "manual_title": "segnet-live",
        "description": "real-time road-scene segmentation with SegNet",
    }
    return str(Manpage(parser, data)) + "\n"


def main() -> None:
    HERE.mkdir(exist_ok=True)
    for shell, name in SHELLS.items():
        (HERE / name).write_text(completion(shell), encoding="utf-8")
    (HERE / "segnet-live.1").write_text(man_page(), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())

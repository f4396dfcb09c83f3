"""At home in a shell and on a desktop: completions and the man page know every option, the desktop entry its files."""

from __future__ import annotations

import argparse
import configparser
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from segnet_live import __version__, cli
from segnet_live.cli import EXIT_CODES, whole_parser
from segnet_live.system import crash
from segnet_live.ui import app

CHECKOUT = Path(__file__).resolve().parent.parent
DESKTOP = CHECKOUT / "assets" / "desktop"
ADVICE = "make it again: python assets/make_desktop.py"


def options(parser: argparse.ArgumentParser) -> dict[str, set[str]]:
    """The long options of each command; "" is the command without a subcommand."""
    found: dict[str, set[str]] = {"": set()}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                found[name] = options(command)[""]
        else:
            found[""] |= {option for option in action.option_strings if option.startswith("--")} - {"--help"}
    return found


@pytest.mark.parametrize("name", ["segnet-live.bash", "_segnet-live", "segnet-live.fish", "segnet-live.1"])
def test_completions_and_man_page_name_every_command_and_option(name: str) -> None:
    text = (DESKTOP / name).read_text(encoding="utf-8").replace("\\-", "-")
    if name.endswith(".fish"):
        text = re.sub(r"(?:-l|-x -l) (?=\w)", "--", text)
    for command, wanted in options(whole_parser()).items():
        assert command in text, f"{name} lacks {command}; {ADVICE}"
        missing = {option for option in wanted if not re.search(rf"{option}(?![\w-])", text)}
        assert not missing, f"{name} lacks {missing} of {command or 'the command'}; {ADVICE}"
    assert set(options(whole_parser())) == {"", *cli.COMMANDS}


def test_bash_reads_its_completion() -> None:
    script = DESKTOP / "segnet-live.bash"
    ask = f"source {script}; COMP_WORDS=(segnet-live ad); COMP_CWORD=1; _shtab_segnet_live; echo ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True, timeout=240)
    assert done.stdout.split() == ["adapt"]


def test_exit_codes_are_in_the_help_and_in_the_man_page(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert EXIT_CODES in capsys.readouterr().out
    assert "EXIT STATUS" in (DESKTOP / "segnet-live.1").read_text(encoding="utf-8").upper()


def test_the_desktop_entry_starts_what_is_installed_on_files_that_can_be_opened() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DESKTOP / "segnet-live.desktop")
    entry = parser["Desktop Entry"]
    assert entry["Exec"].split()[0] in project["gui-scripts"]
    assert entry["Exec"].split()[1] == "%u"
    assert {"video/mp4", "video/x-matroska"} <= set(entry["MimeType"].split(";"))


def test_what_the_desktop_names_is_opened_by_the_window(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[tuple[object, str | None]] = []
    watched: list[tuple[str, ...]] = []
    hidden: list[bool] = []
    monkeypatch.setattr(app, "run", lambda config, place: opened.append((config.source, place)) or 0)
    monkeypatch.setattr(crash, "watch", watched.append)
    monkeypatch.setattr(crash, "end_well", lambda: None)
    monkeypatch.setattr(cli, "hide_passwords", lambda: hidden.append(True))
    monkeypatch.setattr(cli, "prepare_streams", lambda **_: None)
    monkeypatch.setattr(cli, "leave", lambda code: None)
    # a folder, too: whoever drops one has no console on which to read that --headless is missing
    places = ["/videos/my drive.mp4", "file:///videos/my%20drive.mp4", str(tmp_path), "rtsp://me:secret@cam/1"]
    for place in places:
        monkeypatch.setattr("sys.argv", ["segnet-live-window", place])
        cli.window_entry()
    monkeypatch.setattr("sys.argv", ["segnet-live-window"])
    cli.window_entry()
    assert opened == [(None, place) for place in [*places, None]]
    assert watched == [*((place,) for place in places), ()], "a crash of the window leaves a report, as README promises"
    assert len(hidden) == len(watched)


def test_the_citation_and_the_changelog_are_of_this_version() -> None:
    citation = (CHECKOUT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^cff-version: 1\.2\.0$", citation, re.M)
    assert f"version: {__version__}" in citation
    assert f"## {__version__}" in (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")

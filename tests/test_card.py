"""Cards: what a model folder must hold, and what is said when it does not."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path, PureWindowsPath

import pytest

from segnet_live import card as card_module
from segnet_live.card import Card, find_card, installed_cards, read_card
from segnet_live.cli import main
from segnet_live.errors import CardError, UsageError
from segnet_live.nets.load import load_network
from segnet_live.nets.networks import NETWORKS
from segnet_live.weights import load_weights
from tests.support.cards import write_card


def test_shipped_cards_are_whole() -> None:
    cards = installed_cards()
    assert "segnet-fast" in {card.name for card in cards}
    for card in cards:
        assert card.folder.name == card.name
        assert load_weights(card)
        assert "research" in card.licence.lower()
        assert card.training["data"]
        assert card.metrics


def test_a_card_is_found_by_folder(tmp_path: Path) -> None:
    write_card(tmp_path / "mine")
    assert find_card(str(tmp_path / "mine")).name == "mine"


def test_unknown_model_names_the_installed_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown model 'nope'; installed: .*segnet-fast"):
        find_card("nope")


def test_a_network_without_weights_says_how_to_train_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_module, "models_dir", lambda: tmp_path)
    for name in NETWORKS:
        command = "release" if name in ("segnet", "segnet-basic", "segnet-fast") else "fit"
        with pytest.raises(UsageError, match=f"no weights here; installed: none; .*{command} .*--model {name}$"):
            find_card(name)


def test_folder_without_card_says_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"a model folder holds card\.json and weights\.safetensors"):
        find_card(str(tmp_path))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"name": 1}'])
def test_damaged_cards_are_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(CardError) as caught:
        read_card(tmp_path)
    assert "\n" not in str(caught.value)


def test_card_without_a_field_names_it(tmp_path: Path) -> None:
    card = write_card(tmp_path / "m")
    raw = json.loads((card.folder / "card.json").read_text())
    del raw["normalisation"]
    (card.folder / "card.json").write_text(json.dumps(raw))
    with pytest.raises(CardError, match="normalisation"):
        read_card(card.folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("void_id", 10**30),
        ("void_id", -1),
        ("input_size", [10**9, 10**9]),
        ("input_size", [0, 64]),
        ("classes", [{"name": "Road", "colour": [256, 0, 0]}]),
        ("classes", {"name": "Road"}),
        ("normalisation", {"mean": [0, 0, 0], "std": [0, 1, 1]}),
        ("normalisation", {"mean": [float("nan"), 0, 0], "std": [1, 1, 1]}),
        ("arguments", {"width": 10**9}),
        ("arguments", {"width": [[10**9]]}),
        ("int8", {"maxima": [float("inf")]}),
        ("int8", []),
        ("void_id", 3),
        ("name", "x" * 201),
        ("architecture", "x" * 30_000),
        ("classes", [{"name": name, "colour": [1, 2, 3]} for name in ("Road", "Car", "Road")]),
        ("classes", [{"name": name, "colour": [1, 2, 3]} for name in ("Road", "road ")]),
        ("classes", [{"name": name, "colour": [1, 2, 3]} for name in ("Road", " ")]),
        ("classes", [{"name": "x" * 201, "colour": [1, 2, 3]}]),
    ],
)
def test_a_card_that_would_fill_the_memory_or_means_nothing_is_refused(
    tiny_card: Card, tmp_path: Path, field: str, value: object
) -> None:
    raw = json.loads((tiny_card.folder / "card.json").read_text())
    (tmp_path / "card.json").write_text(json.dumps(raw | {field: value}))
    with pytest.raises(CardError, match="is damaged") as caught:
        read_card(tmp_path)
    assert len(str(caught.value)) < 300 + len(str(tmp_path))


def test_a_network_that_no_machine_could_hold_is_never_made(tiny_card: Card, tmp_path: Path) -> None:
    shutil.copytree(tiny_card.folder, tmp_path / "m")
    raw = json.loads((tmp_path / "m" / "card.json").read_text())
    raw |= {"architecture": "segnet-fast", "arguments": {"widths": [8000, 8000, 8000]}}
    (tmp_path / "m" / "card.json").write_text(json.dumps(raw))
    with pytest.raises(CardError):
        load_network(read_card(tmp_path / "m"))


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
@pytest.mark.parametrize("name", ["card.json", "weights.safetensors"])
@pytest.mark.parametrize("target", ["../secret", "/etc/passwd", "LOOP"])
def test_no_link_leads_out_of_a_model_folder(tiny_card: Card, tmp_path: Path, name: str, target: str) -> None:
    folder = tmp_path / "m"
    shutil.copytree(tiny_card.folder, folder)
    shutil.copy(tiny_card.folder / name, tmp_path / "secret")
    (folder / name).unlink()
    (folder / name).symlink_to(name if target == "LOOP" else target)
    with pytest.raises(CardError):
        load_weights(read_card(folder))


def test_what_a_card_says_cannot_command_a_terminal(
    tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_card.folder, tmp_path / "m")
    raw = json.loads((tmp_path / "m" / "card.json").read_text())
    raw |= {"name": "\x1b]0;owned\x07", "licence": "[red]\x1b[31m", "metrics": {"\x1b[2J": {"mIoU": 0.5}}}
    raw["classes"][0]["name"] = "\x1b[31mSky"
    (tmp_path / "m" / "card.json").write_text(json.dumps(raw))
    assert main(["models", "--dir", str(tmp_path)]) == 0
    assert "\x1b" not in capsys.readouterr().out
    assert read_card(tmp_path / "m").classes.names[0] == "\\x1b[31mSky"


@pytest.mark.parametrize(
    "name", ["../../evil", "/etc/evil", "..\\evil", "C:evil", "..", ".hidden", "", "a\0b", "x" * 200]
)
def test_a_cards_name_cannot_lead_out_of_the_folder_that_is_written_to(tmp_path: Path, name: str) -> None:
    card = write_card(tmp_path / "m", name=name)
    assert Path(card.file_name).name == card.file_name
    assert PureWindowsPath(card.file_name).name == card.file_name
    assert not card.file_name.startswith(".")
    assert len(card.file_name) < 100


def test_an_ordinary_name_is_a_files_name_as_it_is(tmp_path: Path) -> None:
    for name in ("segnet-fast", "segnet-fast-my road 2", "straße.v2", "segnet_fast"):
        assert write_card(tmp_path / name).file_name == name


def test_an_exported_network_stays_here_whatever_its_card_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_card(tmp_path / "m", name="../../evil")
    here = tmp_path / "here" / "deeper"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    (here / "_.._evil-64x64.onnx").touch()  # the name that it gets is taken: that is the line
    assert main(["export", "--to", "onnx", "--size", "64x64", "--model", str(tmp_path / "m")]) == 2
    assert "_evil-64x64.onnx exists" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
@pytest.mark.parametrize("name", ["card.json", "weights.safetensors"])
def test_a_pipe_or_a_huge_file_is_no_part_of_a_model(tmp_path: Path, name: str) -> None:
    card = write_card(tmp_path / "m")
    (card.folder / name).unlink()
    os.mkfifo(card.folder / name)
    with pytest.raises(CardError, match="a pipe or a device"):
        load_weights(find_card(str(card.folder)))
    (card.folder / name).unlink()
    with (card.folder / name).open("wb") as huge:
        huge.truncate(1 << 40)
    with pytest.raises(CardError, match="it has 1,048,576 MiB"):
        load_weights(find_card(str(card.folder)))

"""The command line, end to end on a tiny set: fit, package, evaluate, weights, and its exit codes."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from segnet_live.card import installed_cards, read_card
from segnet_live.nets.segnet import SegNet
from segnet_live.weights import load_weights
from tests.support.training import interrupt_at
from train.card_fields import shown_command
from train.checkpoint import load
from train.cli import build_parser, main
from train.config import from_options
from train.release import MODELS, Material, fit_commands, package_command, run_folders

FAST = ["--crop", "64x32", "--batch", "2", "--epochs", "1", "--evaluations", "1", "--precision", "fp32"]
ENGINE = ["--backend", "torch", "--size", "96x64"]


@pytest.fixture
def checkpoint(camvid: Path, tmp_path: Path) -> Path:
    assert main(["fit", "--data", str(camvid), "--out", str(tmp_path / "run"), *FAST]) == 0
    return tmp_path / "run" / "last.pt"


def test_a_packaged_model_says_what_it_is_and_measures_as_its_card_says(
    camvid: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models, figures = tmp_path / "models", tmp_path / "figures.json"
    package = [
        "package",
        "--checkpoint",
        str(checkpoint),
        "--name",
        "tiny",
        "--out",
        str(models),
        "--data",
        str(camvid),
    ]
    assert main([*package, *ENGINE]) == 0
    card = read_card(models / "tiny")
    assert (card.name, card.architecture, card.input_size) == ("tiny", "segnet-fast", (360, 480))
    assert card.training["data"] == "camvid train (6 images)"
    assert card.training["recipe"]["lr"] == 2e-3
    assert "research use" in card.licence
    assert "--out run" in card.training["command"]
    assert str(tmp_path) not in (card.folder / "card.json").read_text()
    stored = load_weights(card)
    average = load(checkpoint)["average"]
    assert {t.dtype.name for t in stored.values() if t.ndim > 1} == {"float16"}
    for name, tensor in stored.items():
        torch.testing.assert_close(torch.from_numpy(tensor).float(), average[name], rtol=1e-3, atol=1e-4)
    assert not list(models.glob(".package*"))
    assert "caution" not in card.metrics["camvid val"]
    assert main([*package, *ENGINE, "--split", "train"]) == 0
    assert "trained on" in read_card(models / "tiny").metrics["camvid train"]["caution"]
    assert main([*package, *ENGINE, "--split", "train", "--held-out", str(checkpoint)]) == 2
    assert "was trained on camvid train too" in capsys.readouterr().err
    assert main([*package, *ENGINE, "--held-out", str(checkpoint)]) == 0
    held_out = read_card(models / "tiny").metrics["camvid val, held out"]
    assert held_out["mIoU"] == card.metrics["camvid val"]["mIoU"]
    assert "--out run" in held_out["weights_of"]
    assert main([*package, *ENGINE]) == 0

    evaluate = ["evaluate", "--model", str(models / "tiny"), "--data", str(camvid), "--json", str(figures), *ENGINE]
    assert main([*evaluate, "--pictures", str(tmp_path / "pictures")]) == 0
    written = json.loads(figures.read_text())
    assert card.metrics["camvid val"].items() >= written.items()
    assert written["images"] == 3
    assert written["flicker"] is not None
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 3
    assert "mIoU" in capsys.readouterr().out


def test_a_checkpoint_evaluates_without_being_installed(camvid: Path, checkpoint: Path, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    options = ["--split", "train", "val", "--drives", "0016E5", "--json", str(figures)]
    evaluate = ["evaluate", "--checkpoint", str(checkpoint), "--data", str(camvid)]
    assert main([*evaluate, *options, *ENGINE]) == 0
    plain = json.loads(figures.read_text())
    assert plain["images"] == 5
    assert main([*evaluate, *options, *ENGINE, "--smooth"]) == 0
    smoothed = json.loads(figures.read_text())
    assert smoothed["measured_with"]["smooth"]
    assert not plain["measured_with"]["smooth"]
    assert smoothed["flicker"] < plain["flicker"]


def test_a_part_of_a_model_can_be_trained_on_and_is_packaged_beside_the_rest(
    camvid: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models, more = tmp_path / "models", tmp_path / "more"
    assert main(["package", "--checkpoint", str(checkpoint), "--out", str(models)]) == 0
    before = read_card(models / "segnet-fast")
    fit = ["fit", "--data", str(camvid), "--out", str(tmp_path / "second"), *FAST, "--frozen-above", "2000"]
    assert main(fit) == 2
    assert "pass --init" in capsys.readouterr().err
    assert main([*fit, "--init", str(before.folder)]) == 0
    package = ["package", "--checkpoint", str(tmp_path / "second" / "last.pt"), "--upon", str(before.folder)]
    data = ["--data", str(camvid), *ENGINE]  # has the balancing removed, which writes the model once more
    assert main([*package, "--out", str(more), *data]) == 0
    assert "card.json, retrained.safetensors, weights.safetensors" in capsys.readouterr().out
    card = read_card(more / "segnet-fast")
    assert card.weights_path.read_bytes() == before.weights_path.read_bytes()
    was, now = load_weights(before), load_weights(card)
    stays = {name for name, tensor in was.items() if (tensor == now[name]).all()}
    assert stays == {name for name, tensor in was.items() if tensor.ndim > 1 and tensor.size > 2000}
    assert main(["evaluate", "--model", str(card.folder), *data]) == 0


def test_a_run_can_start_from_and_learn_from_a_checkpoint(camvid: Path, checkpoint: Path, tmp_path: Path) -> None:
    options = ["--init", str(checkpoint), "--teacher", str(checkpoint), "--distil", "0.5", "--lovasz", "0.5"]
    options += ["--boundary", "1", "--paste", "0.2", "--leave-out", "0001TP"]
    assert main(["fit", "--data", str(camvid), "--out", str(tmp_path / "second"), *FAST, *options]) == 0
    assert load(tmp_path / "second" / "last.pt")["config"]["teacher"] == "last.pt"


def test_weights_are_printed_for_every_class(camvid: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "--data", str(camvid)]) == 0
    printed = capsys.readouterr().out
    assert "Bicyclist" in printed
    assert "1.0000" in printed


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["weights", "--data", "nowhere"], "nowhere"),
        (["evaluate", "--checkpoint", "gone.pt", "--data", "{camvid}"], "gone.pt"),
        (["evaluate", "--model", "no-such-model", "--data", "{camvid}"], "no-such-model"),
        (["fit", "--data", "{camvid}", "--crop", "50x50"], "multiple of 32"),
        (["fit", "--data", "{camvid}", "--leave-out", "9999"], "0001TP"),
        (["fit", "--data", "{camvid}", "--dropout", "0.5"], "no dropout"),
        (["fit", "--data", "{camvid}", "--vgg16", "x.pth"], "drop --vgg16"),
        (["fit", "--data", "{camvid}", "--distil", "1"], "--teacher"),
        (["fit", "--data", "{camvid}", "--init", "gone.pt"], "gone.pt"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    camvid: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([a.format(camvid=camvid) for a in arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: ")
    assert words in said
    assert "\n" not in said


@pytest.mark.own_process
def test_ctrl_c_keeps_a_checkpoint_and_exits_with_130(
    camvid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt_at(1, monkeypatch)
    assert main(["fit", "--data", str(camvid), "--out", str(tmp_path / "run"), *FAST]) == 130
    assert capsys.readouterr().err == "stopped\n"
    assert load(tmp_path / "run" / "last.pt")["step"] == 1


def test_a_damaged_checkpoint_is_named(camvid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.pt").write_bytes(b"PK nothing")
    assert main(["evaluate", "--checkpoint", str(tmp_path / "bad.pt"), "--data", str(camvid)]) == 2
    assert "bad.pt is damaged" in capsys.readouterr().err


def test_commands_on_cards_are_still_understood() -> None:
    seen = 0
    for card in installed_cards():
        training: dict[str, Any] | None = card.training
        while training:
            args = build_parser().parse_args(shlex.split(training["command"])[3:])
            if "fit" in training["command"].split():  # else `interpolate`, between two runs of fit
                assert from_options(args, args.crop).model == card.architecture
            training, seen = training.get("start"), seen + 1
    assert seen
    given = build_parser().parse_args(
        ["fit", "--data", "d", "--model", "segnet-basic", "--calm", "0.1", "--appearance", "0.5", "--thin", "0.7"]
    )
    config = from_options(given, None)
    assert (config.augment_decay, config.photometric, config.dilated_init) == (0.1, 0.5, 0.7)


def test_commands_are_shown_without_the_folders_of_a_machine(tmp_path: Path) -> None:
    for elsewhere in ("/home/someone/camvid", "../someone/camvid"):
        assert shown_command(["fit", "--data", elsewhere]) == "python -m train fit --data camvid"


def test_vgg16s_encoder_is_taken_from_a_file(camvid: Path, tmp_path: Path) -> None:
    from segnet_live.learning.data import LabelledSet
    from train.config import recipe
    from train.initialise import starting_network

    torch.manual_seed(1)
    state: dict[str, torch.Tensor] = {}
    index = 0
    for encoder in SegNet(11).encoders:
        for unit in encoder:  # type: ignore[union-attr]
            conv, norm = unit[0], unit[1]
            state |= {
                f"features.{index}.weight": conv.weight.detach(),
                f"features.{index}.bias": torch.ones(len(norm.bias)),
            }
            for name in ("weight", "bias", "running_mean", "running_var"):
                state[f"features.{index + 1}.{name}"] = getattr(norm, name).detach()
            index += 3
        index += 1
    torch.save(state, tmp_path / "vgg.pth")
    network = starting_network(recipe("release", "segnet"), LabelledSet(), "", str(tmp_path / "vgg.pth"))
    first = network.get_submodule("encoders.0.0")
    torch.testing.assert_close(first.get_parameter("0.weight"), state["features.0.weight"])
    torch.testing.assert_close(first.get_buffer("1.running_mean"), -torch.ones(64))


def test_release_fits_and_packages_each_network_and_a_stopped_call_goes_on(
    camvid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = ["--crop", "64x32", "--batch", "2", "--precision", "fp32"]

    def quick_ones(*args: Any, **options: Any) -> list[list[str]]:
        return [[*command, *quick, "--rendered", "0"] for command in fit_commands(*args, **options)]

    monkeypatch.setattr("train.commands.fit_commands", quick_ones)
    runs, models = tmp_path / "runs", tmp_path / "models"
    command = ["release", "--data", str(camvid), "--runs", str(runs), "--out", str(models), "--minutes", "0.02"]
    command += ["--model", "segnet-basic", "segnet-fast"]
    assert main([*command, "--stop-after", "0.005"]) == 0
    assert "not complete" in capsys.readouterr().out
    assert not models.exists()
    assert main(command) == 0
    assert "--init" in capsys.readouterr().out
    for name in ("segnet-basic", "segnet-fast"):
        card = read_card(models / name)
        assert card.architecture == name
        assert "train and val" in card.training["data"], "final weights train on everything"
        assert "caution" in card.metrics["camvid val"]
        assert "caution" not in card.metrics["camvid val, held out"]


@pytest.mark.parametrize("gpu", [True, False])
@pytest.mark.parametrize("model", MODELS)
def test_a_release_goes_through_its_stages_and_measures_before_val_joins(tmp_path: Path, model: str, gpu: bool) -> None:
    material = Material(tmp_path / "camvid")
    *before_val, final = run_folders("segnet-fast", tmp_path, gpu=gpu, hold_out_val=False)
    for folder in (before_val[-1], final):
        folder.mkdir()
        (folder / "last.pt").touch()
    *early, last = fit_commands(model, material, tmp_path, gpu=gpu, minutes=10, hold_out_val=False)
    assert sum(float(value_of(stage, "--minutes")) for stage in (*early, last)) == pytest.approx(10)
    assert "--train-on-val" in last
    assert not any("--train-on-val" in stage for stage in early)
    assert value_of(last, "--init") == value_of(early[-1], "--out") + "/last.pt"
    assert value_of(last, "--out") == str(tmp_path / model)
    assert all(("--compile" in stage) == gpu for stage in (*early, last))
    if model != "segnet-fast":
        assert value_of(last, "--teacher") == str(final / "last.pt")
        assert {value_of(stage, "--teacher") for stage in early} == {str(before_val[-1] / "last.pt")}
    package = package_command(model, material, tmp_path, tmp_path, gpu=gpu, hold_out_val=False)
    assert value_of(package, "--held-out") == value_of(last, "--init")

    commands = fit_commands(model, material, tmp_path, gpu=gpu, minutes=None, hold_out_val=True)
    assert not any("--train-on-val" in stage for stage in commands)
    package = package_command(model, material, tmp_path, tmp_path, gpu=gpu, hold_out_val=True)
    assert "--held-out" not in package
    assert value_of(package, "--checkpoint") == value_of(commands[-1], "--out") + "/best.pt"


def test_a_release_hands_soft_labels_and_other_roads_to_every_stage(tmp_path: Path) -> None:
    material = Material(tmp_path, [tmp_path / "a", tmp_path / "b"], tmp_path / "roads", tmp_path / "names.txt")
    for command in fit_commands("segnet-fast", material, tmp_path, gpu=False, minutes=None, hold_out_val=False):
        first = command.index("--opinions")
        assert command[first + 1 : first + 3] == [str(tmp_path / "a"), str(tmp_path / "b")]
        assert value_of(command, "--pictures") == str(tmp_path / "roads")
        assert value_of(command, "--held-out") == str(tmp_path / "names.txt")


def value_of(command: list[str], option: str) -> str:
    return command[command.index(option) + 1]

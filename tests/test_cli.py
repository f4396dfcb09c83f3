"""The command before anything runs: help, speed of start, what arguments mean, one line for what is wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from segnet_live import __version__, cli
from segnet_live.card import Card
from segnet_live.cli import main, parse
from segnet_live.config import SourceSpec

HEAVY = ("torch", "openvino", "PyQt6", "cv2", "av", "numpy", "rich", "safetensors")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["models", "--help"], ["--backend", "caffe"]])
def test_help_and_usage_errors_import_nothing_heavy(arguments: list[str]) -> None:
    heavy = HEAVY if arguments[0] != "models" else ("torch", "openvino", "PyQt6", "cv2", "av")
    code = (
        "import sys\nfrom segnet_live.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        f"print('loaded', [name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "loaded []"


INDEX = "--model --backend --precision --size --bonnet --index --fresh"
OPTIONS = {
    "": "--video --camera --images --synthetic --start --duration --record --masks --stats --headless --overwrite "
    "--model --backend --precision --size --target-fps --max-latency --smooth --no-smooth --view --opacity --layers "
    "--classes --burn-hud --reconnect --no-reconnect --index --bonnet --hide --hide-with --hide-hold --hide-unsure "
    "--debug --version "
    "--confidence --fade-unsure --samples --decoder --encoder --quality --compare --ray --piece",
    "models": "--dir --json --debug",
    "doctor": "--no-engines --json --report --debug",
    "compile": "--model --backend --precision --size --for --beside-weights --debug",
    "cache": "list clear --json --debug",
    "repair": "--output --debug",
    "find": f"--stills --cut --around --overwrite --json {INDEX} --debug",
    "report": f"--output --gpx --clock --colour-by --hardest --overwrite {INDEX} --debug",
    "bonnet": "--output --show --below --grow --overwrite --debug",
    "hard": f"--out --count --against --json {INDEX} --debug",
    "correct": "--model --debug",
    "export": "--to --annotations --model --out --size --precision --labels --overwrite --json --debug",
    "adapt": "--model --out --old --minutes --rate --seed --overwrite --json --debug",
    "serve": "--host --port --video --camera --images --synthetic --record --overwrite --model "
    "--backend --precision --size --max-picture --max-pixels --max-clip --max-seconds --queue --viewers --rate --debug",
    "bench": "--model --backend --precision --size --video --seconds --n --against --no-memory --paper-table --json "
    "--markdown --confidence --debug",
}


@pytest.mark.parametrize("command", ["", *cli.COMMANDS])
def test_help_names_every_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([*command.split(), "--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text.partition("examples:")[0])) - {"--help"}
    assert named == {word for word in OPTIONS[command].split() if word.startswith("--")}
    assert all(word in text for word in OPTIONS[command].split())
    if not command:
        assert all(f"segnet-live {name}" in text for name in cli.COMMANDS)


@pytest.mark.parametrize("command", ["", "compile", "bench", "doctor"])
def test_ctrl_c_is_one_line_that_says_what_is_kept(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_dispatch", interrupted)
    assert main([command] if command else ["--synthetic"]) == 130
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert ("is kept" in error) == bool(command)
    assert ("nothing was written" in error) == (not command)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"segnet-live {__version__}\n"


def test_arguments_become_a_configuration() -> None:
    line = (
        "--video a.mp4 --start 1.5 --duration 3 --record out.mp4 --headless --model m --backend torch --precision fp32 "
        "--size 64x96 --view labels --opacity 0.25 --classes Road,Car --burn-hud --overwrite"
    )
    config = parse(line.split())
    assert config.source == SourceSpec("video", "a.mp4", start_s=1.5, duration_s=3)
    assert config.record == Path("out.mp4")
    assert config.size == (64, 96)
    assert (config.view, config.opacity, config.classes) == ("labels", 0.25, ("Road", "Car"))
    assert (config.model, config.backend, config.precision) == ("m", "torch", "fp32")
    assert config.headless
    assert config.burn_hud
    assert config.overwrite


@pytest.mark.parametrize("option", [["--masks", "m"], ["--stats", "s.csv"]])
def test_masks_and_stats_need_no_window_and_say_so(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert parse(["--synthetic", *option]).headless
    said = capsys.readouterr().out
    assert option[0] in said
    assert "without a window" in said
    assert not parse(["--synthetic"]).headless


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ("--video a.mp4 --camera 0", "--camera"),
        ("--video", "--video"),
        ("drive.mp4", "drive.mp4"),
        ("--vid a.mp4", "--vid"),
        ("--camera -1", "--camera"),
        ("--camera front", "--camera"),
        ("--video a.mp4 --size 360", "HEIGHTxWIDTH"),
        ("--video a.mp4 --size 0x64", "must be 32 to 4096 pixels"),
        ("--video a.mp4 --size -64x64", "--size"),
        ("--video a.mp4 --opacity 2", "--opacity"),
        ("--video a.mp4 --opacity nan", "--opacity"),
        ("--video a.mp4 --start -1", "--start"),
        ("--video a.mp4 --start soon", "--start"),
        ("--video a.mp4 --duration 0", "--duration"),
        ("--video a.mp4 --duration nan", "--duration"),
        ("--video a.mp4 --backend caffe", "openvino"),
        ("--video a.mp4 --view upside-down", "side-by-side"),
        ("--video a.mp4 --classes Road,,Car", "--classes"),
        ("--headless", "--video"),
        ("--duration 3", "--video"),
        ("--video a.mp4 --record out.avi", ".mp4"),
        ("--video a.mp4 --stats s.txt", ".csv"),
        ("models --nonsense", "--nonsense"),
        ("--video file://[bad/a.mp4 --headless", "is no address"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_code_2(
    arguments: str, names: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments.split()) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("segnet-live: ")
    assert captured.err.count("\n") == 1
    assert names in captured.err


def test_no_display_is_one_line_that_names_headless(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    for platform in ("", "xcb", "wayland;xcb"):
        monkeypatch.setenv("QT_QPA_PLATFORM", platform)
        assert main(["--video", "a.mp4"]) == 2
        error = capsys.readouterr().err
        assert "--headless" in error
        assert error.count("\n") == 1


def test_the_window_does_not_open_on_a_recording_that_cannot_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out.mp4").touch()
    assert main(["--video", "a.mp4", "--record", str(tmp_path / "out.mp4")]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_a_bug_is_one_line_and_exit_code_1_and_debug_shows_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def break_down(*_: object) -> int:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(cli, "_dispatch", break_down)
    assert main(["--synthetic"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "--debug" in error
    assert main(["--synthetic", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("std::bad_alloc"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate"),
        RuntimeError("Exception from plugin.cpp:921:\nResource temporarily unavailable\n\n"),
    ],
)
def test_too_little_memory_is_no_bug(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def grow(*_: object) -> int:
        raise error

    monkeypatch.setattr(cli, "_dispatch", grow)
    assert main(["--synthetic"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("segnet-live: there is not enough memory")
    assert told.count("\n") == 1
    assert "report" not in told
    assert "plugin.cpp" not in told, "where a library was helps nobody"


@pytest.mark.parametrize(
    "arguments",
    [
        "--headless --synthetic --masks",
        "--headless --synthetic --confidence",
        "--headless --synthetic --stats",
        "--video drives --record",
        "serve --record",
        "models --dir",
        "hard a.mp4 --out",
        "report a.mp4 --output",
        "--headless --synthetic --stats s.csv --bonnet",
        "--headless --synthetic --stats s.csv --model",
    ],
)
def test_a_variable_of_the_shell_that_is_not_set_writes_nothing(
    arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "drives").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main([*arguments.split(), ""]) == 2
    told = capsys.readouterr().err
    assert arguments.split()[-1].lstrip("-") in told
    assert "empty" in told
    assert told.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["drives"]


def test_models_lists_what_the_cards_say(tiny_card: Card, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--dir", str(tiny_card.folder.parent)]) == 0
    listed = capsys.readouterr().out
    for fact in (tiny_card.name, tiny_card.architecture, "360x480", "11", tiny_card.licence):
        assert fact in listed


def test_lists_are_json_for_programs(tiny_card: Card, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--dir", str(tiny_card.folder.parent), "--json"]) == 0
    (model,) = json.loads(capsys.readouterr().out)
    assert (model["name"], model["input_size"], len(model["classes"])) == (tiny_card.name, [360, 480], 11)
    assert main(["cache", "list", "--json"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out), list)
    assert main(["doctor", "--no-engines", "--json"]) in (0, 1)
    assert {"system", "OpenVINO"} <= {finding["what"] for finding in json.loads(capsys.readouterr().out)}


def test_models_tells_figures_on_images_that_were_trained_on(
    tiny_card: Card, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tiny_card.folder / "card.json"
    fields = json.loads(path.read_text())
    seen = {"mIoU": 0.75, "caution": "the weights were trained on these images"}
    for metrics, shown in (
        ({"camvid val": seen}, "camvid val: mIoU 0.750 (trained on these images)"),
        (
            {
                "camvid val": {
                    "mIoU": 0.75,
                    "caution": "the class offsets were fitted on these images; mIoU 0.7 without",
                }
            },
            "camvid val: mIoU 0.750 (the class offsets were fitted on these images)",
        ),
        ({"camvid val": seen, "camvid val, held out": {"mIoU": 0.625}}, "camvid val, held out: mIoU 0.625"),
    ):
        path.write_text(json.dumps(fields | {"metrics": metrics}))
        assert main(["models", "--dir", str(tiny_card.folder.parent)]) == 0
        table = " ".join(capsys.readouterr().out.split())
        assert all(word in table for word in shown.split())
        assert ("0.750" in table) == ("0.750" in shown)


def test_models_counts_trained_numbers_only(tiny_card: Card) -> None:
    from segnet_live.commands.models import parameters
    from segnet_live.nets.load import load_network

    assert parameters(tiny_card) == sum(p.numel() for p in load_network(tiny_card).parameters())


def test_models_names_a_damaged_one_after_the_others(
    tiny_card: Card, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "good").symlink_to(tiny_card.folder)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "card.json").write_text("{}")
    assert main(["models", "--dir", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert tiny_card.name in captured.out
    assert captured.err.startswith("segnet-live: ")
    assert "bad" in captured.err
    assert main(["models", "--dir", str(tmp_path / "bad")]) == 2
    assert "holds no model" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--headless", "--video", "LONG.mp4"],
        ["--headless", "--video", "a.mp4", "--record", "LONG.mp4"],
        ["--headless", "--video", "a.mp4", "--record", "ROOM.mp4"],
        ["--headless", "--images", "LONG", "--masks", "LONG"],
        ["--headless", "--synthetic", "--masks", "LONG"],
        ["--headless", "--synthetic", "--model", "LONG", "--stats", "a.csv"],
        ["--headless", "--synthetic", "--stats", "a\0b.csv"],
        ["--headless", "--video", "a\0b.mp4"],
        ["--headless", "--video", "file:///LONG.mp4"],
        ["report", "LONG.mp4"],
        ["models", "--dir", "LONG"],
        ["export", "--annotations", "coco", "--labels", "LONG"],
    ],
)
def test_a_name_that_no_file_can_have_is_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [argument.replace("LONG", "x" * 300).replace("ROOM", "x" * 241) for argument in arguments]
    assert main(given) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", ["x" * 300, "a\0b"])
def test_a_list_with_such_a_name_writes_nothing(line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "list.txt").write_text(f"a.mp4\n{line}\n")
    assert main(["--headless", "--video", str(tmp_path / "list.txt"), "--record", str(tmp_path / "out")]) == 2
    assert "line 2" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["find", "rtsp://me:hunter2@cam/1", "Car > 1%"],
        ["report", "rtsp://me:hunter2@cam/1"],
        ["--synthetic", "--headless", "--masks", "rtmp://me:hunter2@cam/1"],
        ["--synthetic", "--headless", "--record", "rtmp://me:hunter2@cam/1.mp4"],
    ],
)
def test_an_address_where_a_file_belongs_makes_no_folder_and_shows_no_password(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert "***@cam/1" in said
    assert "hunter2" not in said
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []

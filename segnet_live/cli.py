"""Run `segnet-live`: find out which command is meant, carry it out, and turn every error into a line and an exit code.

Nothing heavy is imported before the arguments are understood.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import traceback
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from segnet_live import __version__
from segnet_live.config import RunConfig, is_url, local_name
from segnet_live.display_text import fit_to_show, print_line
from segnet_live.errors import SegnetLiveError, UsageError, lacks_memory
from segnet_live.run_options import add_run_options, run_config
from segnet_live.system.exit import leave
from segnet_live.system.files import why_no_name, why_no_output
from segnet_live.system.process_title import hide_passwords
from segnet_live.system.streams import leave_reader, prepare_streams

COMMANDS = {
    "models": ("segnet_live.commands.models", "list the installed models"),
    "doctor": ("segnet_live.commands.doctor", "check this machine and every engine on it"),
    "compile": ("segnet_live.commands.compile", "make engines ahead of their use"),
    "cache": ("segnet_live.commands.cache", "list or clear the compiled engines and indexes"),
    "repair": ("segnet_live.commands.repair", "make an ordinary mp4 of what a killed recording left"),
    "find": ("segnet_live.commands.find", "find moments in drives by what is in the picture"),
    "bonnet": ("segnet_live.commands.bonnet", "find the car's own bonnet in a drive"),
    "report": ("segnet_live.commands.report", "write a page about a drive"),
    "hard": ("segnet_live.commands.hard", "pick the frames a model finds hard, as drafts to correct"),
    "correct": ("segnet_live.ui.correct.command", "correct hard frames in a window"),
    "export": ("segnet_live.commands.export", "take a network, or label maps, to other programs"),
    "adapt": ("segnet_live.commands.adapt", "fit a model to your own road, from drafts that you corrected"),
    "serve": (
        "segnet_live.commands.serve",
        "show a page in the browser to try pictures and watch live",
    ),
    "bench": ("segnet_live.bench.command", "time every model on every engine of this machine"),
}
"""Subcommand -> (module with `add_arguments(parser)` and `run(arguments) -> int`, its line in --help)."""

EXIT_CODES = """\
exit codes:
  0    done
  1    a bug, or (doctor) something on this machine failed; --debug shows where
  2    it cannot be carried out as asked; the line says what is needed and what to do, and no good file was touched
  130  Ctrl-C (143: terminated); what was finished is kept
"""

EXAMPLES = """\
examples:
  segnet-live                                                     a window on the webcam
  segnet-live --video drive.mp4                                   a window on a file
  segnet-live --video drive.mp4 --record out.mp4 --headless       an annotated video, as fast as it goes
  segnet-live --video drives --record annotated --headless        a folder of videos, several at a time
  segnet-live --images photos --masks labels --headless           class ids of every image as PNG
"""


_NAMES = ("video", "images", "bonnet")
"""Options whose value is a path or something else, such as an address."""


class _Parser(argparse.ArgumentParser):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register("type", Path, _path)  # of every option that says type=Path

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}", f"see {self.prog} --help")

    def parse_args(self, *args: Any, **kwargs: Any) -> Any:
        """Parse, and refuse names that no file can have before anybody looks for such a file.

        Raises:
            UsageError: one is empty, too long, forbidden, or holds what no name holds.
        """
        given = super().parse_args(*args, **kwargs)
        for option, value in vars(given).items():
            for each in value if isinstance(value, list) else (value,):
                if each == "":
                    raise UsageError(f"{option} got an empty value", f"see {self.prog} --help")
                text = local_name(each) if isinstance(each, str) else each
                if isinstance(text, Path) or (option in _NAMES and isinstance(text, str) and not is_url(text)):
                    is_file = option in ("record", "stats")
                    if why := why_no_output(Path(text)) if is_file else why_no_name(Path(text)):
                        raise UsageError(f"{option} got {str(text)[:60]!r} ({why})", "give another name")
        return given


def entry() -> NoReturn:
    """Run the command `segnet-live`, and end the process."""
    _run_process(sys.argv[1:])


def window_entry() -> NoReturn:
    """Run the command `segnet-live-window`, which a desktop starts, and end the process.

    What was dropped on its icon comes as the first argument; the window opens it as if it had been dropped there.
    """
    arguments = sys.argv[1:]
    named = bool(arguments) and not arguments[0].startswith("-")
    _run_process([] if named else arguments, arguments[0] if named else None)


def _run_process(arguments: list[str], place: str | None = None) -> NoReturn:
    """Run the command in a process that is its own, with what that takes: reports of crashes, hidden passwords.

    Args:
        place: what the window is to open.
    """
    hide_passwords()
    only_told = bool({"-h", "--help", "--version"} & set(arguments))
    prepare_streams(droppable=not only_told and (not arguments or arguments[0] not in COMMANDS))
    if only_told:
        leave(main(arguments))
    from segnet_live.system import crash  # takes a fifth of the time of --help, which need not wait for it

    crash.watch(tuple(sys.argv[1:]))
    code = main(arguments, place)
    crash.end_well()
    leave(code)


def main(argv: Sequence[str] | None = None, place: str | None = None) -> int:
    """Run the command and return its exit code, see `EXIT_CODES`.

    Args:
        argv: None takes the process's own.
        place: what the window is to open, a name of any kind; None for what the arguments name.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug, is_command = "--debug" in arguments, bool(arguments) and arguments[0] in COMMANDS
    try:
        with _written():
            return _dispatch(arguments, place)
    except SegnetLiveError as error:
        return _complain(str(error), 2, debug)
    except KeyboardInterrupt:
        before = "interrupted before the first frame; nothing was written"
        return _complain("interrupted; what was finished is kept" if is_command else before, 130, debug)
    except BrokenPipeError:
        leave_reader()
        return 1
    except Exception as error:
        if lacks_memory(error):
            why = (str(error).strip().splitlines() or ["no more is given"])[-1]  # libraries say first where they are
            return _complain(
                f"there is not enough memory ({why}); close other programs, or take a smaller --size", 2, debug
            )
        from segnet_live.system import crash

        return _complain(f"unexpected {crash.report(error)}", 1, debug)


@contextlib.contextmanager
def _written() -> Iterator[None]:
    """Write what the body has printed, so that what cannot be written is an error here, and not one of Python's end."""
    try:
        yield
    except SystemExit:  # after --help or --version
        sys.stdout.flush()
        raise
    sys.stdout.flush()


def _dispatch(arguments: list[str], place: str | None) -> int:
    if arguments and arguments[0] in COMMANDS:
        name, *rest = arguments
        module_name, summary = COMMANDS[name]
        module = import_module(module_name)
        parser = _Parser(prog=f"segnet-live {name}", description=_sentence(summary))
        _add_command(parser, module)
        return int(module.run(parser.parse_args(rest)))
    config = parse(arguments)
    if config.ray is not None:
        from segnet_live.fleet.run import run_fleet

        return run_fleet(config)
    if config.is_folder_job:
        from segnet_live.pipeline.headless.folder import run_folder

        return run_folder(config)
    if config.headless:
        from segnet_live.pipeline.headless.run import run
        from segnet_live.system import crash

        if crashed := crash.offer():
            print(crashed, file=sys.stderr)
        return run(config)
    from segnet_live.system.display import require_display

    require_display()
    from segnet_live.pipeline.record.preflight import check_outputs
    from segnet_live.ui import app

    check_outputs(config)
    return app.run(config, place)


def _sentence(summary: str) -> str:
    return f"{summary[0].upper()}{summary[1:]}."


def _add_command(parser: argparse.ArgumentParser, module: Any) -> None:
    module.add_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def whole_parser() -> argparse.ArgumentParser:
    """Return one parser with every command and option, from which completions and the man page are made.

    Running takes none of it: there a command's module is imported only when that command was named.
    """
    parser = _parser()
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, (module_name, summary) in COMMANDS.items():
        _add_command(
            commands.add_parser(name, help=summary, description=_sentence(summary)), import_module(module_name)
        )
    return parser


def parse(arguments: Sequence[str]) -> RunConfig:
    """Return what the arguments of a run (no subcommand) ask for.

    Raises:
        UsageError: they are not understood or contradict each other.
        SystemExit: after --help or --version.
    """
    return run_config(_parser().parse_args(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="segnet-live",
        description="Real-time road-scene segmentation with SegNet: camera, stream or video in, annotated video out.",
        epilog="commands:\n"
        + "".join(f"  segnet-live {name:<20} {summary}\n" for name, (_, summary) in COMMANDS.items())
        + f"\n{EXAMPLES}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_run_options(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.add_argument("--version", action="version", version=f"segnet-live {__version__}")
    return parser


def _path(text: str) -> Path:
    if not text:  # a variable of the shell that is not set; Path would take it for the working folder
        raise argparse.ArgumentTypeError("got an empty name; name a file or folder (. is the one you are in)")
    if is_url(text):  # which Path would fold to a folder of that name, password and all
        raise argparse.ArgumentTypeError(f"got the address {text}; name a file or folder")
    return Path(text)


def _complain(line: str, code: int, debug: bool) -> int:
    with contextlib.suppress(OSError):  # nobody reads it
        if debug:
            print("\n".join(fit_to_show(each) for each in traceback.format_exc().splitlines()), file=sys.stderr)
        print_line(f"segnet-live: {' '.join(line.splitlines())}", file=sys.stderr)
    return code

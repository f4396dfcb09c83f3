"""`segnet-live serve`: a page in the browser to try pictures and watch live, and an HTTP API."""

from __future__ import annotations

import argparse
import importlib.util
import os
import secrets
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from segnet_live.config import BACKENDS, PRECISIONS, RunConfig, SourceSpec, parse_size
from segnet_live.display_text import print_line
from segnet_live.errors import UsageError

if TYPE_CHECKING:
    from segnet_live.card import Card
    from segnet_live.serve.limits import Limits
    from segnet_live.serve.live import Channel

EPILOG = """\
examples:
  segnet-live serve                                    try pictures, and watch the example drive
  segnet-live serve --video drive.mp4 --camera 0       watch a file, which plays over and over, and the webcam
  segnet-live serve --camera 0 --record out.mp4        record it as well, whoever watches
  segnet-live serve --host 0.0.0.0                     for other machines too: they need the address with its token
  curl --data-binary @photo.jpg http://127.0.0.1:8808/segment
Nothing that is uploaded is kept, and nothing on the page comes from elsewhere. There is no encryption: on networks that
you do not trust, put a proxy with TLS before it.
"""
NEEDS = ("starlette", "uvicorn", "websockets")
RATE = 120.0
"""Pictures and clips a minute from one address, if other machines are let in."""
MOST = 1e6
"""Of each limit for guests: beyond it, it would be none."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    add = parser.add_argument
    add("--host", default="127.0.0.1", metavar="ADDRESS", help="where to listen (default: this machine alone)")
    add(
        "--port", type=int, default=8808, metavar="N", help="port to listen on, 0 for a free one (default: %(default)s)"
    )
    add = parser.add_argument_group("what can be watched, any number of them (default: the example drive)").add_argument
    add("--video", action="append", default=[], metavar="FILE|URL", help="video file, RTSP or HTTP stream")
    add("--camera", action="append", default=[], metavar="N", help="camera by number, 0 is the first")
    add("--images", action="append", default=[], metavar="DIR|GLOB", help="folder of images, or a quoted pattern")
    add("--synthetic", action="store_true", help="the example drive")
    add("--record", type=Path, metavar="OUT.mp4", help="record the one source from the start on, whoever watches")
    add("--overwrite", action="store_true", help="replace a recording that exists")
    add = parser.add_argument_group("network").add_argument
    add("--model", metavar="NAME|DIR", help="model of what is watched, and of pictures where none is chosen")
    add("--backend", choices=BACKENDS, default="auto", help="what runs the network (default: the fastest there is)")
    add(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="arithmetic of the network (default: the backend's fast one)",
    )
    add("--size", type=partial(parse_size, option="--size"), metavar="HxW", help="network input of what is watched")
    add = parser.add_argument_group("limits for guests").add_argument
    add("--max-picture", type=float, default=20, metavar="MIB", help="largest picture upload (default: %(default)g)")
    add(
        "--max-pixels",
        type=float,
        default=50,
        metavar="MILLIONS",
        help="most pixels of a picture (default: %(default)g)",
    )
    add("--max-clip", type=float, default=100, metavar="MIB", help="largest clip upload (default: %(default)g)")
    add("--max-seconds", type=float, default=30, metavar="S", help="longest clip (default: %(default)g)")
    add(
        "--queue",
        type=int,
        default=32,
        metavar="N",
        help="pictures that may wait for the engine (default: %(default)d)",
    )
    add("--viewers", type=int, default=32, metavar="N", help="people who watch at a time (default: %(default)d)")
    add(
        "--rate",
        type=float,
        metavar="N",
        help=f"pictures and clips a minute from one address, 0 for any number (default: {RATE:g}; any number on the "
        "loopback address, which all programs of a machine share)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C or a signal.

    Returns:
        0 after Ctrl-C or a signal: there is no other end.

    Raises:
        UsageError: a package is missing, the port is taken, or an option makes no sense.
        SegnetLiveError: a source or a model that cannot be opened.
    """
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"serve needs {' and '.join(missing)}", 'install it with: pip install "segnet-live[serve]"')
    limits = _limits(arguments)
    specs = _specs(arguments)
    # A second bound, below the decoder's own allocations; OpenCV reads it when it is loaded.
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(limits.pixels))

    cards = _cards(arguments.model)
    channels = _channels(arguments, specs, next(iter(cards.values())))
    import asyncio

    from segnet_live.pipeline.inference import freeze_libraries
    from segnet_live.serve.app import Server, make_app
    from segnet_live.serve.clips import Clips
    from segnet_live.serve.connections import HttpServer, listen
    from segnet_live.serve.gate import Gate, is_loopback
    from segnet_live.serve.limits import InFlight, Rate
    from segnet_live.serve.live import Watching
    from segnet_live.serve.pictures import Labeller, Line
    from segnet_live.system.allocator import return_freed_memory

    listening = listen(arguments.host, arguments.port)
    host, port = listening.getsockname()[:2]
    token = secrets.token_urlsafe(24)
    backend, precision = arguments.backend, arguments.precision
    server = Server(
        limits=limits,
        cards=cards,
        labeller=Labeller(cards, backend, precision),
        line=Line(limits.queue + 1, usual_s=0.1),
        clips=Clips(limits, backend, precision),
        watching=Watching(channels, limits.viewers),
        rate=Rate(limits.rate),
        in_flight=InFlight(limits.in_flight_bytes),
    )
    app = Gate(make_app(server), token=token, port=port, open_to_all=not is_loopback(host))
    shown = f"[{host}]" if ":" in host else host
    # Not by `print_line`, which hides tokens: this one is for the person who reads it.
    print(f"segnet-live is at http://{shown}:{port}/?token={token}   (Ctrl-C ends)", flush=True)
    if not is_loopback(host):
        print_line("other machines can reach it with this token, which travels unencrypted: no TLS is spoken here")
    freeze_libraries()
    return_freed_memory()
    asyncio.run(HttpServer(app, server.end).serve([listening]))
    return 0


def _limits(arguments: argparse.Namespace) -> Limits:
    """Return the limits that were asked for.

    Raises:
        UsageError: one is no number that can be a limit.
    """
    from segnet_live.serve.gate import is_loopback
    from segnet_live.serve.limits import MIB, Limits

    for name, least in (
        ("max_picture", 0.001), ("max_pixels", 0.001), ("max_clip", 0.001), ("max_seconds", 0.1), ("queue", 1),
        ("viewers", 0), ("rate", 0),
    ):  # fmt: skip
        value = getattr(arguments, name)
        if value is not None and not least <= value <= MOST:
            got = f"--{name.replace('_', '-')} got {str(value)[:20]}"
            raise UsageError(got, f"give a number from {least:g} to {MOST:g}")
    rate = arguments.rate
    return Limits(
        picture_bytes=round(arguments.max_picture * MIB),
        clip_bytes=round(arguments.max_clip * MIB),
        pixels=round(arguments.max_pixels * 1e6),
        clip_s=arguments.max_seconds,
        rate=rate if rate is not None else 0.0 if is_loopback(arguments.host) else RATE,
        queue=arguments.queue,
        viewers=arguments.viewers,
    )


def _specs(arguments: argparse.Namespace) -> list[SourceSpec]:
    """Return the sources that were named.

    Raises:
        UsageError: none can be recorded, or more than one.
    """
    specs = [SourceSpec("video", value) for value in arguments.video]
    specs += [SourceSpec("camera", value) for value in arguments.camera]
    specs += [SourceSpec("images", value) for value in arguments.images]
    if arguments.synthetic or not specs:
        specs.append(SourceSpec("synthetic"))
    if arguments.record is not None and len(specs) > 1:
        raise UsageError(f"--record got {len(specs)} sources", "name the one to record")
    if arguments.overwrite and arguments.record is None:
        raise UsageError("--overwrite is for the recording", "add --record OUT.mp4 or leave it out")
    return specs


def _cards(model: str | None) -> dict[str, Card]:
    """Return the models that guests may choose by name, the default first.

    Raises:
        UsageError: there is no such model.
        CardError: it is damaged.
    """
    from segnet_live.card import DEFAULT_MODEL, find_card, installed_cards

    first = find_card(model or DEFAULT_MODEL)
    return {first.name: first} | {card.name: card for card in installed_cards() if card.name != first.name}


def _channels(arguments: argparse.Namespace, specs: list[SourceSpec], card: Card) -> list[Channel]:
    """Return a channel for each source; files are opened once, to see that they can be.

    Raises:
        SegnetLiveError: a file or folder cannot be read, or the recording cannot be written.
    """
    from segnet_live.pipeline.live.engine_switch import EngineChoice
    from segnet_live.pipeline.record.preflight import check_outputs
    from segnet_live.serve.live import Channel
    from segnet_live.video.open import open_source

    record, overwrite = arguments.record, arguments.overwrite
    if record is not None:
        check_outputs(RunConfig(source=specs[0], record=record, overwrite=overwrite))
    channels = []
    for spec in specs:
        if spec.kind in ("images", "synthetic") or spec.video_file is not None:
            open_source(spec).close()
        choice = EngineChoice(card, arguments.backend, arguments.precision, arguments.size, spec.kind != "images")
        channels.append(Channel(spec, choice, record=record, overwrite=overwrite, say=print_line))
    return channels

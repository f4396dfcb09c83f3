"""A camera on the network that is lost in every way there is, and comes back: HTTP, motion-JPEG and MPEG-TS."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2

from segnet_live.card import Card
from segnet_live.config import RunConfig, SourceSpec
from segnet_live.pipeline.headless import run
from segnet_live.pipeline.live.engine_switch import EngineChoice
from segnet_live.pipeline.live.session import LiveSession
from segnet_live.video.open import open_source
from tests.support.clips import number_in, numbered
from tests.support.engines import Engines
from tests.torture.journal import Facts

WAYS = (
    "hang up",
    "reset",
    "half a frame",
    "silence",
    "another size",
    "another codec",
    "clock back",
    "pts wrap",
    "refused",
)
"""How a connection ends. Those of the clock are no losses by themselves; their streams hang up after it."""
SIZE, OTHER = (48, 64), (64, 96)
EVERY_S = 0.02
GOOD_FRAMES = 15
MOST_LAG_S = 2.0
PATIENCE_S = 30.0
HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: %s\r\n\r\n"


def transport_stream(way: str) -> bytes:
    """Two seconds of MPEG-TS whose clock jumps back in the middle, or passes 2^33."""
    start = 2**33 - 90_000 if way == "pts wrap" else 900_000
    parts = []
    for piece in range(2):
        path = f"/tmp/segnet-live-{os.getpid()}-{threading.get_ident()}.ts"
        with av.open(path, "w", format="mpegts", options={"mpegts_copyts": "1"}) as output:
            stream = output.add_stream("mpeg2video", rate=25, width=SIZE[1], height=SIZE[0], pix_fmt="yuv420p")
            stream.codec_context.gop_size = 5
            for index in range(25):
                frame = av.VideoFrame.from_ndarray(numbered(index, *SIZE), format="rgb24")
                frame.pts, frame.time_base = index, Fraction(1, 25)
                for packet in stream.encode(frame):
                    _shift(packet, start + (90_000 * piece if way == "pts wrap" else -400_000 * piece))
                    output.mux(packet)
            for packet in stream.encode(None):
                _shift(packet, start + (90_000 * piece if way == "pts wrap" else -400_000 * piece))
                output.mux(packet)
        parts.append(Path(path).read_bytes())
        Path(path).unlink()
    return b"".join(parts)


def _shift(packet: av.Packet, ticks: int) -> None:
    assert packet.time_base is not None
    offset = round(Fraction(ticks, 90_000) / packet.time_base)
    packet.pts = (packet.pts or 0) + offset
    packet.dts = (packet.dts or 0) + offset


class Camera:
    """The server. Connection n is lost in `ways[n]`, after GOOD_FRAMES; those after the last are good for ever.

    Attributes:
        served: connections that were answered.
        sent_s: when each number of a frame, 0..255, was sent last.
    """

    def __init__(self, ways: Sequence[str]) -> None:
        self.ways = ways
        self.served = 0
        self.sent_s: dict[int, float] = {}
        self._number = 0
        self._closed = threading.Event()
        self._streams = {way: transport_stream(way) for way in set(ways) & {"clock back", "pts wrap", "another codec"}}
        self._listening = self._listen(0)
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="flaky camera", daemon=True)
        self._thread.start()

    def _listen(self, port: int) -> socket.socket:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen()
        listening.settimeout(0.2)
        return listening

    @property
    def is_well(self) -> bool:
        """Whether all losses are over."""
        return self.served > len(self.ways)

    def _serve(self) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(TimeoutError):
                client = self._listening.accept()[0]
                with client, contextlib.suppress(OSError):
                    self._answer(client)

    def _answer(self, client: socket.socket) -> None:
        client.settimeout(5)
        client.recv(4096)
        way = self.ways[self.served] if self.served < len(self.ways) else "well"
        self.served += 1
        if way in self._streams:
            client.sendall(HEAD % b"video/mp2t" + self._streams[way])
            return
        client.sendall(HEAD % b"multipart/x-mixed-replace; boundary=next")
        sent = 0
        while not self._closed.is_set() and (way == "well" or sent < GOOD_FRAMES):
            client.sendall(self._frame(SIZE))
            sent += 1
            time.sleep(EVERY_S)
        self._lose(client, way)

    def _lose(self, client: socket.socket, way: str) -> None:
        if way == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif way == "half a frame":
            client.sendall(self._frame(SIZE)[:150])
        elif way == "silence":
            with contextlib.suppress(OSError):
                client.recv(1)  # until the other side has had enough
        elif way == "another size":
            for _ in range(GOOD_FRAMES):
                client.sendall(self._frame(OTHER))
                time.sleep(EVERY_S)
        elif way == "refused":
            self._listening.close()
            client.close()
            time.sleep(0.15)
            self._listening = self._listen(self.port)

    def _frame(self, size: tuple[int, int]) -> bytes:
        self._number = (self._number + 1) % 256
        jpeg = cv2.imencode(".jpg", numbered(self._number, *size)[..., ::-1])[1].tobytes()
        self.sent_s[self._number] = time.monotonic()
        return b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg) + jpeg + b"\r\n"

    def close(self) -> None:
        self._closed.set()
        self._thread.join(10)
        self._listening.close()


@contextlib.contextmanager
def camera(ways: Sequence[str]) -> Iterator[Camera]:
    found = Camera(ways)
    try:
        yield found
    finally:
        found.close()


def lose_in_the_window(card: Card, ways: Sequence[str]) -> Facts:
    """Watch a camera through all its losses; say how late the picture is once it is well."""
    with camera(ways) as lossy:
        session = LiveSession(open_source, Engines().open, lambda news: None, card.classes)
        session.use(EngineChoice(card))
        session.open(SourceSpec("video", f"http://127.0.0.1:{lossy.port}/live"))
        try:
            began_s = time.monotonic()
            well_s = first_s = None
            lag_s = 0.0
            while time.monotonic() - began_s < PATIENCE_S + len(ways) * 4:
                picture = session.take_picture()
                well_s = well_s or (time.monotonic() if lossy.is_well else None)
                if picture is None or well_s is None:
                    time.sleep(0.005)
                    continue
                first_s = first_s or time.monotonic()
                if time.monotonic() - first_s > 0.5:
                    lag_s = time.monotonic() - lossy.sent_s.get(number_in(picture.result.rgb), 0.0)
                    break
        finally:
            session.close()
    problem = "" if first_s else f"no picture after loss {lossy.served} of {len(ways)}"
    if lag_s > MOST_LAG_S:
        problem = f"{lag_s:.1f} s late after the losses"
    return {"problem": problem, "losses": len(ways), "lag_s": lag_s}


def lose_headless(card: Card, ways: Sequence[str], folder: Path) -> Facts:
    """Record a camera through all its losses; Ctrl-C ends the run once it is well."""
    with camera(ways) as lossy:
        out = folder / "out.mp4"
        source = SourceSpec("video", f"http://127.0.0.1:{lossy.port}/live")
        config = RunConfig(source=source, record=out, headless=True, model=str(card.folder), smooth=False)
        over = threading.Event()

        def interrupt() -> None:
            until_s = time.monotonic() + PATIENCE_S + len(ways) * 4
            while not over.is_set() and time.monotonic() < until_s and not lossy.is_well:
                time.sleep(0.02)
            over.wait(0.6)
            if not over.is_set():
                os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt, daemon=True)
        thread.start()
        code = run.run(config)
        over.set()
        thread.join()
    files = sorted(folder.glob("out*.mp4"))
    problem = "" if lossy.is_well else f"lost for good after {lossy.served} of {len(ways)}"
    if code != 130:
        problem = problem or f"exit {code}"
    # a stream of the clock's kind comes whole and then hangs up; each loss but those before any frame has its file
    if any(partial in file.name for file in files for partial in (".partial", ".part")) or len(files) < len(ways) // 2:
        problem = problem or f"{len(files)} files of {len(ways) + 1}"
    for file in files:
        with av.open(str(file)) as container:
            if not sum(1 for _ in container.decode(video=0)):
                problem = problem or f"{file.name} holds no picture"
        file.unlink()
    return {"problem": problem, "losses": len(ways), "files": len(files)}

"""Watching live as fragmented MP4, for the bench that compares it with the product's way: H.264 over MediaSource.

It is as quick as we could make it: x264 without delay, a fragment a frame that is sent when it is encoded, an
initialisation segment without a duration (Chromium then plays with its low delay), and a page that keeps playing close
to the newest frame. `MP4` is a channel whose pictures are fragments; `player` is the page's part.
"""

from __future__ import annotations

import asyncio
import io
import re
import struct
import threading
from collections.abc import AsyncIterator
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from segnet_live.pipeline.live.session import LiveSession
from segnet_live.serve.live import Channel, Viewer, pixels_of

CRF = 23
TICKS = 90_000
_START_CODE = re.compile(rb"\x00\x00\x00\x01|\x00\x00\x01")


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


class Encoder:
    """(h, w, 4) uint8 BGRX pictures in, fragments out."""

    def __init__(self, size: tuple[int, int], rate: int) -> None:
        self._file, self._count, self._rate = io.BytesIO(), 0, rate
        flags = {"movflags": "empty_moov+default_base_moof+frag_custom"}
        self._container = av.open(self._file, "w", format="mp4", options=flags)
        stream = self._container.add_stream("libx264", rate=rate)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        stream.time_base = Fraction(1, TICKS)
        stream.codec_context.options = {"preset": "ultrafast", "tune": "zerolatency", "crf": str(CRF), "g": "250"}
        stream.codec_context.time_base = Fraction(1, TICKS)
        self._stream = stream
        self._container.start_encoding()
        assert stream.time_base == Fraction(1, TICKS)
        self.initial = self._file.getvalue()
        at = self.initial.index(b"avcC") + 5
        self.codec = f"avc1.{self.initial[at : at + 3].hex()}"

    def fragment(self, bgrx: NDArray[np.uint8]) -> bytes:
        """Return the fragment of the next picture."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(bgrx), format="bgra")
        frame.pts, frame.time_base = self._count * TICKS // self._rate, Fraction(1, TICKS)
        (packet,) = self._stream.encode(frame)
        units = [unit for unit in _START_CODE.split(bytes(packet)) if unit]
        data = b"".join(struct.pack(">I", len(unit)) + unit for unit in units)
        sync = 0x02000000 if packet.is_keyframe else 0x01010000
        head = self._head(0, len(data), sync)
        self._count += 1
        return self._head(len(head) + 8, len(data), sync) + box(b"mdat", data)

    def _head(self, offset: int, length: int, sync: int) -> bytes:
        start, duration = self._count * TICKS // self._rate, TICKS // self._rate
        run = struct.pack(">IIiIII", 0x000701, 1, offset, duration, length, sync)
        track = box(
            b"traf",
            box(b"tfhd", struct.pack(">II", 0x020000, 1)),
            box(b"tfdt", struct.pack(">IQ", 0x01000000, start)),
            box(b"trun", run),
        )
        return box(b"moof", box(b"mfhd", struct.pack(">II", 0, self._count + 1)), track)

    def close(self) -> None:
        self._container.close()


class MP4(Channel):
    """A channel for one viewer, who is sent every picture, for each needs the one before.

    Attributes:
        sent_bytes: until now.
    """

    sent_bytes = 0
    _fragments: asyncio.Queue[bytes]
    _codec = ""

    async def answer(self, _: Request) -> Response:
        """Begin, and send fragments as they come."""
        self._fragments = asyncio.Queue()
        viewer = Viewer("original")
        self.join(viewer)
        initial = await self._fragments.get()

        async def parts() -> AsyncIterator[bytes]:
            try:
                yield initial
                while True:
                    part = await self._fragments.get()
                    self.sent_bytes += len(part)
                    yield part
            finally:
                self.leave(viewer)

        return StreamingResponse(parts(), media_type="video/mp4", headers={"codec": self._codec})

    def _send(self, session: LiveSession, stop: threading.Event) -> None:
        encoder: Encoder | None = None
        loop = self._loop
        assert loop is not None
        while not stop.is_set():
            picture = session.take_picture(timeout_s=0.1)
            if picture is None or not picture.result.is_segmented:
                continue
            pixels = pixels_of(picture, "original")
            if encoder is None:
                encoder = Encoder((pixels.shape[0], pixels.shape[1]), round(picture.result.source.rate or 25))
                self._codec = encoder.codec
                loop.call_soon_threadsafe(self._fragments.put_nowait, encoder.initial)
            loop.call_soon_threadsafe(self._fragments.put_nowait, encoder.fragment(pixels))
        if encoder is not None:
            encoder.close()


PLAYER = """
const video = document.createElement('video');
video.muted = true;
document.getElementById('screen').append(video);
const source = new MediaSource();
video.src = URL.createObjectURL(source);
source.addEventListener('sourceopen', async () => {
  const answer = await fetch('/mp4');
  const buffer = source.addSourceBuffer(`video/mp4; codecs="${answer.headers.get('codec')}"`);
  const reader = answer.body.getReader();
  const frame = 1 / RATE;
  for (;;) {
    const {done, value} = await reader.read();
    if (done) break;
    const ended = new Promise((go) => buffer.addEventListener('updateend', go, {once: true}));
    buffer.appendBuffer(value);
    await ended;
    if (!buffer.buffered.length) continue;
    const ahead = buffer.buffered.end(0) - video.currentTime;
    if (video.paused) video.play();
    if (ahead > 0.3) video.currentTime = buffer.buffered.end(0) - 0.01;
    else video.playbackRate = ahead > 2 * frame ? 1.1 : ahead > 1.2 * frame ? 1.03 : 1;
    if (video.currentTime > 20 && !buffer.updating) {
      buffer.remove(0, video.currentTime - 10);
      await new Promise((go) => buffer.addEventListener('updateend', go, {once: true}));
    }
  }
});
window.shown = video;
"""

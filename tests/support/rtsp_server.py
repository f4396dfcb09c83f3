"""A real RTSP server: GStreamer's, from Debian's packages; the system's Python runs it, so it imports nothing of ours.

    /usr/bin/python3 rtsp_server.py --port N [--film FILE] [--size 64x48] [--codec vp8] [--user NAME --password WORD]

serves /film, which states its length, and /live, which has none and whose grey is a clock: `grey_at`. Prints "ready"
and the port it listens on.
"""

from __future__ import annotations

import argparse
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

LIVE = (
    "videotestsrc name=clock is-live=true pattern=solid-color"
    " ! video/x-raw,format=I420,width={},height={},framerate=25/1 ! {} name=pay0"
)
CODECS = {"vp8": "vp8enc deadline=1 keyframe-max-dist=5 ! rtpvp8pay", "jpeg": "jpegenc ! rtpjpegpay"}
NEEDED = ("filesrc", "qtdemux", "rtph264pay", "videotestsrc", "vp8enc", "rtpvp8pay", "jpegenc", "rtpjpegpay")


def grey_at(clock_s: float) -> int:
    """The grey of a picture of that monotonic time: 32 levels of 0.1 s, 8 apart."""
    return 8 * (int(clock_s * 10) % 32)


def show_clock(media: GstRtspServer.RTSPMedia) -> None:
    """Make each next picture's grey the clock's, in the thread that paints: from another one the source crashes."""
    clock = media.get_element().get_by_name("clock")
    if clock is None:
        return

    def tick(_pad: Gst.Pad, _info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        clock.set_property("foreground-color", 0xFF000000 | 0x010101 * grey_at(time.monotonic()))
        return Gst.PadProbeReturn.OK

    clock.get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, tick)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", default="0")
    parser.add_argument("--film")
    parser.add_argument("--size", default="64x48")
    parser.add_argument("--codec", choices=CODECS, default="vp8")
    parser.add_argument("--user")
    parser.add_argument("--password")
    given = parser.parse_args()
    Gst.init(None)
    missing = [name for name in NEEDED if Gst.ElementFactory.find(name) is None]
    if missing:
        raise SystemExit(f"GStreamer lacks {', '.join(missing)}")
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(given.port)
    launches = {"/live": LIVE.format(*given.size.split("x"), CODECS[given.codec])}
    if given.film:
        launches["/film"] = f'filesrc location="{given.film}" ! qtdemux ! rtph264pay name=pay0'
    for path, launch in launches.items():
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(f"( {launch} )")
        factory.connect("media-configure", lambda _, media: show_clock(media))
        if given.user:
            permissions = GstRtspServer.RTSPPermissions()
            permissions.add_permission_for_role("viewer", "media.factory.access", True)
            permissions.add_permission_for_role("viewer", "media.factory.construct", True)
            factory.set_permissions(permissions)
        server.get_mount_points().add_factory(path, factory)
    if given.user:
        auth, token = GstRtspServer.RTSPAuth(), GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(given.user, given.password), token)
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
        server.set_auth(auth)
    if not server.attach(None):
        raise SystemExit(f"port {given.port} is taken")
    print("ready", server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()

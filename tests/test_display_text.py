"""Text from outside, as the terminal and the window get it."""

from __future__ import annotations

import pytest

from segnet_live.cli import main
from segnet_live.config import RunConfig, SourceSpec
from segnet_live.display_text import fit_to_show, mask_password, plain, starred
from segnet_live.errors import SourceError

SECRETS = (
    "rtsp://me:hunter2@cam/1",
    "rtsp://me:hunter2@x@cam/1",
    "http://cam/v.mp4?token=hunter2&x=1",
    "http://cam/v.mp4?x=1;api_key=hunter2",
    "https://cam/v?X-Amz-Signature=hunter2",
    "rtsp://me@mail.com:hunter2@127.0.0.1:1/",
    "rtsp://me:hun hunter2@cam/1",
    "http://cam/v?user=me&loginpas=hunter2&channel=1",
    "http://cam/v?psk=hunter2",
    "http://cam/v?pw=hunter2;jwt=hunter2",
    "http://cam/v?code=hunter2",
    "http://cam/v#access_token=hunter2",
    "https://hunter2hunter2hunter2@cam/v",
    "rtsp:/me:hunter2@cam/1",
    "me:hunter2@cam/1",
)


@pytest.mark.parametrize("url", SECRETS)
def test_a_secret_in_an_address_is_never_shown(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "hunter2" not in mask_password(f"cannot open '{url}'")
    assert "hunter2" not in starred(url)
    assert len(starred(url)) == len(url)
    assert "hunter2" not in str(SourceError(f"{url}: lost"))
    assert "hunter2" not in repr(RunConfig(source=SourceSpec("video", url)))
    assert main(["--video", "x.mp4", "--headless", url]) == 2  # argparse repeats what it does not know
    assert "hunter2" not in capsys.readouterr().err


def test_what_is_no_secret_in_an_address_is_shown() -> None:
    for url in (
        "rtsp://admin@cam/1",
        "http://cam:8080/a?channel=2&codec=h264",
        "rtsp://cam:554/x is lost",
        "drive.mp4: 0:01.2 to 0:01.6",
    ):
        assert mask_password(url) == url


def test_nothing_that_a_terminal_obeys_gets_there() -> None:
    assert plain("a\x1b]0;title\x07b\nc\u202e4pm.exe") == r"a\x1b]0;title\x07b\nc\u202e4pm.exe"
    assert plain("Straße 東京 été.mp4") == "Straße 東京 été.mp4"
    assert plain("\udcff.mp4") == r"\udcff.mp4"  # a name that is no UTF-8 must be printable, too
    assert fit_to_show("ab\u202f10.mp4") == "ab\u202f10.mp4"  # a space in a screenshot's name


def test_a_file_url_is_a_path_like_any_other() -> None:
    assert SourceSpec("video", "file:///tmp/a%20b.mp4").value == "/tmp/a b.mp4"

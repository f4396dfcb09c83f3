"""Makes the README's picture of the window: `python assets/make_screenshot.py OUT.png`. Needs no screen.

The real window plays `assets/drive.mp4` with an installed model, and is grabbed at a given moment of it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT.png")
    parser.add_argument("--model", help="an installed model or a model folder; the default model if left out")
    parser.add_argument("--at", type=float, default=4.0, metavar="S", help="moment of the drive, in seconds")
    parser.add_argument("--view", default="wiper", choices=("overlay", "labels", "original", "side-by-side", "wiper"))
    parser.add_argument("--scale", type=float, default=1.5, help="pixels of the picture for each of the window's")
    given = parser.parse_args()
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    os.environ["QT_SCALE_FACTOR"] = str(given.scale)

    from PyQt6.QtCore import QTimer

    from segnet_live.config import RunConfig, SourceSpec
    from segnet_live.system.paths import assets_dir
    from segnet_live.ui.app import create_app, start
    from segnet_live.ui.settings import Settings

    config = RunConfig(source=SourceSpec("video", str(assets_dir() / "drive.mp4")), model=given.model)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(view=given.view, folder="~/Videos/segnet-live")
        app = create_app(config, settings=settings, settings_file=Path(folder) / "settings.json")
        window = app.window

        def look() -> None:
            shown = window.view.shown
            if shown is not None and shown.result.is_segmented and shown.result.pts_s >= given.at:
                timer.stop()
                window.status.refresh()
                window.grab().save(str(given.out))
                window.close()

        timer = QTimer(window)
        timer.timeout.connect(look)
        timer.start(20)
        start(app, config)
        window.resize(1280, 760)
        app.qt.exec()
        app.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main())

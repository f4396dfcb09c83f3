"""Real-time road-scene segmentation with SegNet (arXiv:1511.00561): camera, stream or video in, annotated video out.

    import segnet_live

    for result in segnet_live.stream("drive.mp4"):
        print(result.pts_s, result.labels.shape)

Importing this package is quick; what it offers is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segnet_live.library import Segmenter as Segmenter
    from segnet_live.library import StreamResult as StreamResult
    from segnet_live.library import annotate as annotate
    from segnet_live.library import stream as stream

__version__ = "0.1.0"
__all__ = ["Segmenter", "StreamResult", "annotate", "stream"]


def __getattr__(name: str) -> Any:
    """Load the library when one of its names is first used (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module("segnet_live.library"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Import OpenVINO without its reports: each import sends one to Google Analytics, and takes twice as long for it.

OpenVINO imports its model converter, which imports `openvino_telemetry`, which sends an event from a process of its own
and leaves the user's number in a folder `intel`, unless the user has opted out (2026.4). OpenVINO allows for either to
be missing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_REPORTS = "openvino_telemetry"
_CONVERTER = "openvino.tools.ovc"


@contextmanager
def _missing(*names: str) -> Iterator[None]:
    """Let these modules be missing in the body, unless they were imported before."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None makes an import fail
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


with _missing(_REPORTS, _CONVERTER):
    import openvino as ov
    import openvino.opset13 as ops


def convert_model(*args: Any, **options: Any) -> ov.Model:
    """Return a network, such as one that PyTorch exported, as an OpenVINO model in memory; see `ov.convert_model`."""
    with _missing(_REPORTS):
        from openvino.tools.ovc import convert_model as convert
    return convert(*args, **options)


if not hasattr(ov, "convert_model"):
    ov.convert_model = convert_model  # who else uses OpenVINO in this process expects it there

__all__ = ["convert_model", "ops", "ov"]

"""Quantise to 8 bits for OpenVINO: round convolution inputs and kernels to the ranges that a card gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from segnet_live.card import check_ranges
from segnet_live.engine.quiet_openvino import ops, ov

INPUT_LEVELS = 256
KERNEL_LEVELS = 255
"""Unsigned inputs 0..255; symmetric kernels -127..127, one scale for each output channel."""


def _rounded(output: Any, low: ArrayLike, high: ArrayLike, levels: int) -> Any:
    ends = [ops.constant(np.asarray(v, np.float32)) for v in (low, high, low, high)]
    return ops.fake_quantize(output, *ends, levels)


def convolutions(model: ov.Model) -> list[Any]:
    """Return the convolutions of `model`, grouped ones too, in graph order."""
    return [op for op in model.get_ordered_ops() if op.get_type_name() in ("Convolution", "GroupConvolution")]


def quantise(model: ov.Model, maxima: Sequence[float | None]) -> None:
    """Give `model` the FakeQuantize operations that make OpenVINO's CPU plugin run its convolutions in int8.

    Args:
        model: the deployed network, float32; changed in place.
        maxima: the largest input of each convolution in graph order (inputs follow a ReLU: 0 or more), None for
            one that stays in floating point. A test holds that graph order is execution order.

    Raises:
        CardError: the number of ranges is not the number of convolutions.
    """
    found = convolutions(model)
    check_ranges(maxima, len(found))
    for convolution, maximum in zip(found, maxima, strict=True):
        if maximum is None:
            continue
        source = convolution.input(0).get_source_output()
        if source.get_node().get_type_name() != "FakeQuantize":
            # all who read this value get the rounded one: a residual's two branches then share one 8-bit tensor
            readers = list(source.get_target_inputs())
            rounded = _rounded(source, 0.0, maximum, INPUT_LEVELS)
            for reader in readers:
                reader.replace_source_output(rounded.output(0))
        kernel = convolution.input(1).get_source_output()
        largest = np.abs(kernel.get_node().data).max((-3, -2, -1), keepdims=True)  # by output, in groups or not
        largest = np.maximum(largest, np.finfo(np.float32).tiny)
        rounded = _rounded(kernel, -largest, largest, KERNEL_LEVELS)
        convolution.input(1).replace_source_output(rounded.output(0))
    model.validate_nodes_and_infer_types()

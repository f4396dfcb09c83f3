"""Upsampling without pooling indices: fixed bilinear interpolation, and deconvolutions that start as it.

As in FCN (Long et al., arXiv:1411.4038, section 3.3). Both take the size to return, which may be less than `factor`
times the input's by the rows and columns that rounding up added on the way down.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segnet_live.frame import Size


def size_of(x: Tensor) -> Size:
    """Return (height, width) of x (N, C, height, width)."""
    return int(x.shape[-2]), int(x.shape[-1])


class Bilinear(nn.Module):
    """Fixed bilinear interpolation by `factor`; nothing in it is learnt."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor, size: Size) -> Tensor:
        up = F.interpolate(x, scale_factor=self.factor, mode="bilinear", align_corners=False)
        return up[..., : size[0], : size[1]]


class Deconvolution(nn.ConvTranspose2d):
    """A learnt deconvolution by `factor`, from `channels` maps to as many.

    It starts as bilinear interpolation of each map by itself. Beyond the image it sees zeros, so its outermost pixels
    start darker than `Bilinear`'s.

    Args:
        kernel: its size, even and at least twice the factor. A larger one has zeros around the bilinear weights, so
            that it starts as the same interpolation. (Caffe's filler would spread a triangle over the whole kernel:
            for 8x8 and factor 2 a blur that multiplies by 4.)
    """

    def __init__(self, channels: int, factor: int, kernel: int, *, bias: bool = False) -> None:
        super().__init__(channels, channels, kernel, stride=factor, padding=(kernel - factor) // 2, bias=bias)
        rise = (torch.arange(2 * factor) - (factor - 0.5)).abs()
        weights = F.pad(1 - rise / factor, ((kernel - 2 * factor) // 2,) * 2)
        with torch.no_grad():
            self.weight.zero_()
            self.weight[range(channels), range(channels)] = torch.outer(weights, weights)
            if self.bias is not None:
                self.bias.zero_()

    def forward(self, x: Tensor, size: Size) -> Tensor:  # type: ignore[override]  # the size is another
        return super().forward(x)[..., : size[0], : size[1]]

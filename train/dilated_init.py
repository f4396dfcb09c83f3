"""Large kernels trained at every third tap first: the same network, at a third of the cost.

A 7x7 kernel that is zero but at rows and columns 0, 3 and 6 is a 3x3 kernel with dilation 3. A run that starts so sees
three times the images in the same time; from then on all 49 taps learn.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEP = 3


class DilatedConv2d(nn.Conv2d):
    """A "same" convolution with an odd kernel, of which only every third tap counts while `dilated` is set.

    Args:
        conv: gives the settings and the weight, which is shared; its other taps become zero.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        side = int(conv.kernel_size[0])
        super().__init__(
            conv.in_channels, conv.out_channels, side, padding=side // 2, bias=conv.bias is not None, device="meta"
        )
        self.weight, self.bias = conv.weight, conv.bias
        self.dilated = True
        with torch.no_grad():
            kept = self.weight[..., ::STEP, ::STEP].clone()
            self.weight.zero_()
            # He initialisation counts the taps: fewer of them start larger
            self.weight[..., ::STEP, ::STEP] = kept * (side / kept.shape[-1])

    def has_dilated_weights(self) -> bool:
        """Return whether the taps that do not count while dilated are zero."""
        return int(self.weight.count_nonzero()) == int(self.weight[..., ::STEP, ::STEP].count_nonzero())

    def forward(self, x: Tensor) -> Tensor:
        if not self.dilated:
            return super().forward(x)
        return F.conv2d(x, self.weight[..., ::STEP, ::STEP], self.bias, padding=self.padding, dilation=STEP)


def dilate(network: nn.Module) -> list[DilatedConv2d]:
    """Replace every 7x7 convolution behind the first one of `network`, in place; weights keep their names."""
    replaced = []
    for block in list(network.modules()):
        for name, conv in list(block.named_children()):
            if isinstance(conv, nn.Conv2d) and conv.kernel_size == (7, 7) and conv.in_channels > 3:
                replaced.append(DilatedConv2d(conv))
                setattr(block, name, replaced[-1])
    return replaced

"""The first SegNet: Badrinarayanan, Handa, Cipolla, arXiv:1505.07293 (2015)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segnet_live.nets.segnet import LocalContrast, Mirrored, he_initialise


class FirstSegNet(Mirrored):
    """Four encoders and four decoders of 64 maps with 7x7 kernels, as SegNet-Basic, but without batch norm and ReLU.

    An encoder is a convolution, tanh and 2x2 max-pooling that keeps its indices; a decoder unpools and convolves, with
    no non-linearity; a 1x1 classifier gives the logits for the soft-max. The input is RGB, or RGB and depth, and its
    local contrast is normalised; here that of RGB, as it would leave nothing of depth but its edges. Convolutions have
    biases here, as nothing else shifts their values; the paper does not say.

    The paper trains one encoder-decoder pair after the other with L-BFGS and the soft-max last (`pairs`), as
    `python -m train layerwise` does.

    Args:
        classes: K.
        inputs: 3 for RGB, 4 for RGB and depth (`segnet_live.learning.depth`), which `python -m train fit --depth`
            gives it. The app has no depth: its engines refuse such a card.
        local_contrast: normalise the local contrast of RGB first.
    """

    def __init__(self, classes: int = 11, *, inputs: int = 3, local_contrast: bool = True) -> None:
        super().__init__()
        self.input_norm = LocalContrast() if local_contrast else nn.Identity()
        self.encoders = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(inputs if i == 0 else 64, 64, 7, padding=3), nn.Tanh()) for i in range(4)]
        )
        self.decoders = nn.ModuleList([nn.Sequential(nn.Conv2d(64, 64, 7, padding=3)) for _ in range(4)])
        self.classifier = nn.Conv2d(64, classes, 1)
        self.dropout = nn.Dropout(0.0)
        self.deep = 0
        he_initialise(self)

    def pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Return each encoder with its decoder, the outermost pair first: the order of layer-wise training."""
        return list(zip(self.encoders, reversed(self.decoders), strict=True))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] == 4:
            return super().forward(torch.cat((self.input_norm(x[:, :3]), x[:, 3:]), 1))
        return super().forward(self.input_norm(x))

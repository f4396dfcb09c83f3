"""U-Net with VGG16's encoder: Ronneberger et al., arXiv:1505.04597; arXiv:1511.00561, section 3."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segnet_live.nets.pooling import PLAIN
from segnet_live.nets.segnet import VGG16, VGG16Encoder, conv_bn, he_initialise, vgg16_encoders
from segnet_live.nets.upsample import size_of


def up_convolution(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """Return a 2x2 deconvolution of stride 2, without non-linearity, that keeps the values' variance at the start."""
    up = nn.ConvTranspose2d(inputs, outputs, 2, stride=2)
    nn.init.normal_(up.weight, std=inputs**-0.5)  # a pixel is the sum of one kernel position over all input maps
    assert up.bias is not None
    nn.init.zeros_(up.bias)
    return up


class UNetVGG16(VGG16Encoder):
    """U-Net's decoders on VGG16's encoder: encoder maps are copied whole, there are no pooling indices.

    Section 3 of SegNet's paper: "instead transfers the entire feature map [...] and concatenates them to upsampled (via
    deconvolution) decoder feature maps". As in U-Net, four poolings; each decoder is a 2x2 deconvolution of stride 2,
    the concatenation with the encoder's maps before pooling, and two 3x3 convolutions; a 1x1 classifier ends it.
    Departures:
        * The deepest stage is VGG16's conv5 (three convolutions of 512 maps), which section 3 says U-Net lacks: U-Net's
          own has two of 1024. With it all of VGG16's weights have their place.
        * Batch norm after each convolution, and zeros around it to keep sizes (section 4); U-Net crops instead.

    Args:
        classes: K.
        dropout: probability of dropout after the two deepest stages, as in U-Net; 0 for none.
    """

    pooling = PLAIN

    def __init__(self, classes: int = 11, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoders = vgg16_encoders()
        self.dropout = nn.Dropout(dropout)
        widths = [stage[-1] for stage in VGG16]
        below = list(zip(widths[1:], widths[:-1], strict=True))[::-1]
        self.upsampling = nn.ModuleList([up_convolution(deep, wide) for deep, wide in below])
        self.decoders = nn.ModuleList(
            [nn.Sequential(conv_bn(2 * wide, wide), conv_bn(wide, wide)) for _, wide in below]
        )
        self.classifier = nn.Conv2d(widths[0], classes, 1)
        he_initialise(self)

    @property
    def storage_multiplier(self) -> float:
        """Return `Network.storage_multiplier`: all maps of the first encoder."""
        return VGG16[0][-1]

    def forward(self, x: Tensor) -> Tensor:
        copies: list[Tensor] = []
        for depth, encoder in enumerate(self.encoders):
            x = encoder(self.pooling.pool(x)[0] if depth else x)
            if depth >= len(self.encoders) - 2:
                x = self.dropout(x)
            copies.append(x)
        x = copies.pop()
        for up, decoder in zip(self.upsampling, self.decoders, strict=True):
            copy = copies.pop()
            height, width = size_of(copy)
            x = decoder(torch.cat((copy, up(x)[..., :height, :width]), 1))
        logits: Tensor = self.classifier(x)
        return logits

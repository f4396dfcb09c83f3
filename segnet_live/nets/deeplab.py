"""DeepLab-LargeFOV: Chen et al., arXiv:1412.7062; arXiv:1511.00561, section 4."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from segnet_live.nets.pooling import PLAIN
from segnet_live.nets.segnet import VGG16, VGG16Encoder, conv_bn, he_initialise, vgg16_encoders
from segnet_live.nets.upsample import Bilinear, size_of


class DeepLabLargeFOV(VGG16Encoder):
    """VGG16 with holes: scores at 1/8 size, bilinear upsampling, no decoder.

    DeepLab's own network: 3x3 max-pooling, of stride 2 in the first three stages and 1 in the last two; the last
    stage's convolutions have dilation 2; 3x3 average pooling; the fully connected layers are a 3x3 convolution of
    dilation 12 and a 1x1, of 1024 features each; the scores grow eightfold bilinearly.

    SegNet's paper says it "changed the max pooling 3 stride to 1" for a resolution of 45x60 of 360x480, which is 1/8.
    DeepLab's own strides already give 1/8; with the third one 1 as well it would be 1/4 (90x120). Built: 1/8, DeepLab's
    strides. Batch norm after each convolution but the scores' is that paper's (section 4). 20.5 M parameters are 82 MB;
    Table 6 has 83.

    Args:
        classes: K.
        features: of the layers that were fully connected.
        dropout: probability of dropout after each of them, 0 for none; both papers use 0.5.
    """

    pooling = PLAIN
    STRIDES = (2, 2, 2, 1, 1)

    def __init__(self, classes: int = 11, *, features: int = 1024, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoders = vgg16_encoders((1, 1, 1, 1, 2))
        self.pooled_mean = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
        self.dropout = nn.Dropout(dropout)
        self.connected = nn.Sequential(
            conv_bn(VGG16[-1][-1], features, 3, dilation=12), self.dropout, conv_bn(features, features, 1), self.dropout
        )
        self.classifier = nn.Conv2d(features, classes, 1)
        self.upsampling = Bilinear(8)
        he_initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        size = size_of(x)
        for encoder, stride in zip(self.encoders, self.STRIDES, strict=True):
            x = F.max_pool2d(encoder(x), 3, stride, 1)
        x = self.classifier(self.connected(self.pooled_mean(x)))
        logits: Tensor = self.upsampling(x, size)
        return logits

"""FCN with VGG16's encoder, upsampling fixed or learnt: Long et al., arXiv:1411.4038; arXiv:1511.00561, section 4."""

from __future__ import annotations

from torch import Tensor, nn

from segnet_live.nets.pooling import PLAIN
from segnet_live.nets.segnet import VGG16, VGG16Encoder, conv_bn, he_initialise, vgg16_encoders
from segnet_live.nets.upsample import Bilinear, Deconvolution, size_of


class FCN(VGG16Encoder):
    """FCN-8s with fixed bilinear upsampling: scores at 1/32, 1/16 and 1/8 size, each doubled and added to the next.

    VGG16's fully connected layers are a 7x7 and a 1x1 convolution. Of this network SegNet's paper says only "FCN";
    its 134 M parameters in the encoder (section 1) and 539 MB (Table 6) are FCN's with VGG16 and all 4096 features, and
    FCN-8s is that paper's best. Departures:
        * Batch norm after each convolution but the scores', for training in one go (section 4).
        * Zeros around each convolution keep sizes, where FCN pads the image by 100 pixels and crops.

    Args:
        classes: K.
        features: of the two layers that were fully connected.
        dropout: probability of dropout after each of them, 0 for none; both papers use 0.5.
    """

    pooling = PLAIN

    def __init__(self, classes: int = 11, *, features: int = 4096, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoders = vgg16_encoders()
        self.dropout = nn.Dropout(dropout)
        self.connected = nn.Sequential(
            conv_bn(VGG16[-1][-1], features, 7), self.dropout, conv_bn(features, features, 1), self.dropout
        )
        self.classifier = nn.Conv2d(features, classes, 1)
        self.scores = nn.ModuleList([nn.Conv2d(VGG16[stage][-1], classes, 1) for stage in (3, 2)])
        self.upsampling = self.make_upsampling(classes)
        he_initialise(self)

    def make_upsampling(self, classes: int) -> nn.ModuleList:
        """Return the steps from 1/32 to 1/16, to 1/8 and to full size."""
        return nn.ModuleList([Bilinear(2), Bilinear(2), Bilinear(8)])

    def forward(self, x: Tensor) -> Tensor:
        size, pooled = size_of(x), []
        for encoder in self.encoders:
            x, _ = self.pooling.pool(encoder(x))
            pooled.append(x)
        x = self.classifier(self.connected(x))
        for up, score, maps in zip(self.upsampling, self.scores, (pooled[3], pooled[2]), strict=False):
            x = up(x, size_of(maps)) + score(maps)
        logits: Tensor = self.upsampling[2](x, size)
        return logits


class FCNLearntDeconvolution(FCN):
    """FCN-8s whose upsampling is learnt: deconvolutions of 4x4, 4x4 and 16x16 that start as bilinear interpolation.

    FCN itself learns the first two and keeps the last fixed; Table 3's "FCN (learnt deconv)" stands against one that is
    fixed throughout, so all three are learnt here.
    """

    logit_bias = "upsampling.2.bias"

    def make_upsampling(self, classes: int) -> nn.ModuleList:
        return nn.ModuleList(
            [
                Deconvolution(classes, 2, 4),
                Deconvolution(classes, 2, 4),
                Deconvolution(classes, 8, 16, bias=True),
            ]
        )

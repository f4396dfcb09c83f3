"""DeconvNet: Noh et al., arXiv:1505.04366, as arXiv:1511.00561, section 4, compares it with SegNet."""

from __future__ import annotations

from torch import Tensor, nn

from segnet_live.nets.segnet import (
    VGG16,
    Mirrored,
    VGG16Encoder,
    conv_bn,
    he_initialise,
    vgg16_decoders,
    vgg16_encoders,
)


class DeconvNet(Mirrored, VGG16Encoder):
    """SegNet's shape with VGG16's fully connected layers, as convolutions, between encoders and decoders.

    Built from DeconvNet's own paper: after the fifth pooling a 7x7 and a 1x1 convolution, then a 7x7 deconvolution back
    to 512 maps, then five times unpooling and deconvolution, and a 1x1 classifier. Each layer has batch norm and ReLU.
    A deconvolution of stride 1 is a convolution with the kernel turned by 180 degrees, so they are convolutions here.
    Departures:
        * 1024 features in the middle, to which section 4 of SegNet's paper restricts them: 82 M parameters, 328 MB. Its
          Table 6 has 877 MB, its text calls DeconvNet the largest; with DeconvNet's own 4096 it is 252 M, 1007 MB.
          Neither gives the 877. Built: the text; `features=4096` is the original.
        * Zeros around the 7x7 kernels keep sizes, so that any image does; DeconvNet takes 224x224 and has one pixel in
          the middle.

    Args:
        classes: K.
        features: of the layers that were fully connected.
        dropout: probability of dropout after the deeper stages (3 to 5 and their decoders), 0 for none; section 4 uses
            0.5 in all networks.
    """

    def __init__(self, classes: int = 11, *, features: int = 1024, dropout: float = 0.0) -> None:
        super().__init__()
        deepest = VGG16[-1][-1]
        self.encoders = vgg16_encoders()
        self.connected = nn.Sequential(
            conv_bn(deepest, features, 7), conv_bn(features, features, 1), conv_bn(features, deepest, 7)
        )
        self.decoders = vgg16_decoders(VGG16[0])
        self.classifier = nn.Conv2d(VGG16[0][0], classes, 1)
        self.dropout = nn.Dropout(dropout)
        self.deep = 3
        he_initialise(self)

    def between(self, x: Tensor) -> Tensor:
        maps: Tensor = self.connected(x)
        return maps

"""The decoder variants of SegNet-Basic: arXiv:1511.00561, section 3.1 and Table 1.

All have SegNet-Basic's encoders; they differ in what a decoder does and in what it gets from its encoder.

    network                               decoder                             gets of its encoder
    SegNet-Basic                          unpool, 64 x 64 7x7 kernels         pooling indices
    SegNet-Basic-EncoderAddition          the same                            indices, and 64 maps to add
    SegNet-Basic-SingleChannelDecoder     unpool, 64 kernels of one channel   pooling indices
    FCN-Basic                             8x8 deconvolution of K maps         K maps to add
    FCN-Basic-NoAddition                  the same                            nothing
    FCN-Basic-NoDimReduction              8x8 deconvolution of 64 maps        64 maps to add
    FCN-Basic-NoAddition-NoDimReduction   the same                            nothing
    Bilinear-Interpolation                bilinear interpolation of K maps    nothing

Where the paper disagrees with itself:
    * What is added. Section 3.1 adds "the corresponding resolution encoder feature map" in each decoder. Figure 3 and
      sections 3 and 3.3 say that these maps are the encoders' outputs after max-pooling, of which there is none at the
      input's size. Built: after pooling, so that three of four decoders add (FCN-Basic and EncoderAddition alike).
    * Parameters. Table 1's figures are all multiples of 0.025 million, and ours round to them, but for the two
      NoDimReduction networks: the text gives 1.66 million, four deconvolutions of 8 x 8 x 64 x 64 = 262,144 beside the
      encoders' 0.61, the table 1.625. Built: the text.

Their `paper` recipe is one (section 3.2), with local contrast normalisation of the input.
"""

from __future__ import annotations

from torch import Tensor, nn

from segnet_live.nets.pooling import PLAIN
from segnet_live.nets.segnet import LocalContrast, Network, SegNetBasic, basic_encoders, conv_bn, he_initialise
from segnet_live.nets.upsample import Bilinear, Deconvolution, size_of


class SegNetBasicEncoderAddition(SegNetBasic):
    """SegNet-Basic whose decoders add the encoders' 64 pooled maps to what they give.

    The decoder at the input's size has no pooled map to add: see "What is added" above.
    """

    adds_encoder_maps = True


class SegNetBasicSingleChannelDecoder(SegNetBasic):
    """SegNet-Basic whose decoder kernels have one channel: each convolves the unpooled map of its own index only."""

    def __init__(self, classes: int = 11, *, dropout: float = 0.0, local_contrast: bool = False) -> None:
        super().__init__(classes, dropout=dropout, local_contrast=local_contrast)
        self.decoders = nn.ModuleList([conv_bn(64, 64, 7, relu=False, groups=64) for _ in range(4)])
        he_initialise(self.decoders)


class FCNBasic(Network):
    """SegNet-Basic's encoders with FCN's decoders: reduce to K maps, deconvolve, add the reduced encoder maps.

    Section 3.1: a 1x1 convolution (here with bias, without batch norm: it gives scores) reduces each encoder's pooled
    maps to K; four 8x8 deconvolutions of stride 2, which start as bilinear interpolation, bring the deepest back to
    the input's size, and between them the other encoders' maps are added. There is no convolution after the last:
    what it gives, with a bias for each class, are the logits.

    Args:
        classes: K.
        local_contrast: normalise the input's local contrast first, as the paper does.
    """

    adds_encoder_maps = True
    pooling = PLAIN
    logit_bias = "decoders.3.bias"

    def __init__(self, classes: int = 11, *, local_contrast: bool = False) -> None:
        super().__init__()
        self.input_norm = LocalContrast() if local_contrast else nn.Identity()
        self.encoders = basic_encoders()
        self.reductions = self.make_reductions(classes)
        self.decoders = self.make_decoders(classes)
        self.classifier = self.make_classifier(classes)
        he_initialise(self)

    def make_reductions(self, classes: int) -> nn.ModuleList:
        """Return what brings pooled encoder maps to the decoders' width, the deepest encoder's first."""
        return nn.ModuleList([nn.Conv2d(64, classes, 1) for _ in range(4 if self.adds_encoder_maps else 1)])

    def make_decoders(self, classes: int) -> nn.ModuleList:
        """Return the four upsampling steps, the deepest first."""
        return nn.ModuleList([Deconvolution(classes, 2, 8, bias=step == 3) for step in range(4)])

    def make_classifier(self, classes: int) -> nn.Module:
        """Return what makes logits of the last decoder's maps."""
        return nn.Identity()

    @property
    def storage_multiplier(self) -> float:
        """Return `Network.storage_multiplier`: the first encoder's maps as they are added; 0 without addition.

        Table 1 has n/a for one of the two networks without addition, and 0 for the other.
        """
        last = self.reductions[-1]
        return (last.out_channels if isinstance(last, nn.Conv2d) else 64) if self.adds_encoder_maps else 0

    def forward(self, x: Tensor) -> Tensor:
        x = self.input_norm(x)
        sizes, kept = [], []
        for encoder in self.encoders:
            sizes.append(size_of(x))
            if self.adds_encoder_maps:
                kept.append(x)
            x, _ = self.pooling.pool(encoder(x))
        x = self.reductions[0](x)
        for step, decoder in enumerate(self.decoders, 1):
            x = decoder(x, sizes.pop())
            if len(kept) > 1:  # the first is the image
                x = x + self.reductions[step](kept.pop())
        logits: Tensor = self.classifier(x)
        return logits


class FCNBasicNoAddition(FCNBasic):
    """FCN-Basic that learns to upsample the deepest maps, and gets nothing else from the encoders."""

    adds_encoder_maps = False


class FCNBasicNoDimReduction(FCNBasic):
    """FCN-Basic whose maps stay 64 up to the input's size, where a 1x1 convolution (with bias) classifies them."""

    logit_bias = "classifier.bias"

    def make_reductions(self, classes: int) -> nn.ModuleList:
        return nn.ModuleList([nn.Identity() for _ in range(4)])

    def make_decoders(self, classes: int) -> nn.ModuleList:
        return nn.ModuleList([Deconvolution(64, 2, 8) for _ in range(4)])

    def make_classifier(self, classes: int) -> nn.Module:
        return nn.Conv2d(64, classes, 1)


class FCNBasicNoAdditionNoDimReduction(FCNBasicNoDimReduction):
    """FCN-Basic-NoDimReduction that gets nothing from the encoders but the deepest maps."""

    adds_encoder_maps = False


class BilinearInterpolation(FCNBasicNoAddition):
    """FCN-Basic-NoAddition whose upsampling is fixed: K maps of 1/16 size, four times doubled bilinearly.

    Section 3.1 names only "fixed bilinear interpolation weights"; that it works on K maps is read from Table 1, whose
    inference time is FCN-Basic's (24.2 ms) and not that of 64 maps (over 40 ms).
    """

    logit_bias = "reductions.0.bias"

    def make_decoders(self, classes: int) -> nn.ModuleList:
        return nn.ModuleList([Bilinear(2) for _ in range(4)])

"""SegNet, SegNet-Basic and SegNet-Fast, and what all networks share (`networks.py` has the table of all).

All three are encoder-decoders whose decoders unpool with the encoders' pooling indices.

Source: Badrinarayanan, Kendall, Cipolla, "SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image
Segmentation", arXiv:1511.00561, sections 3 and 3.1. All networks take normalised images (N, 3, H, W) of any size in a
floating dtype and return logits (N, K, H, W) of the same size and dtype.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segnet_live.nets.pooling import MASK, TORCH, Pooling

VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Output channels of VGG16's 13 convolutions, by pooling stage."""


def conv_bn(
    inputs: int, outputs: int, kernel: int = 3, *, relu: bool = True, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    """Return a convolution without bias ("same" size), batch norm and, unless told otherwise, ReLU."""
    padding = dilation * (kernel // 2)
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    if relu:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def he_initialise(network: nn.Module) -> None:
    """Fill all convolutions as the paper does: He et al. (arXiv:1502.01852), batch norm as the identity."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.groups > 1:  # which kaiming_normal_ leaves out: an input reaches one group's outputs only
                with torch.no_grad():
                    module.weight.mul_(module.groups**0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class Network(nn.Module):
    """The base of all networks: images to logits, and a label map from the same weights.

    Attributes:
        pooling: the pooling implementation in use; engines replace it with an exportable one of equal semantics.
        logit_bias: name of the parameter whose values, one for each class or for each of its sub-pixels, add to the
            logits.
    """

    pooling: Pooling = TORCH
    logit_bias = "classifier.bias"

    @property
    def storage_multiplier(self) -> float:
        """Return what the decoders need of the first encoder, in feature maps (arXiv:1511.00561, Table 1).

        A map counts whatever its size. The pooling indices of 64 maps, 2 bits for each 2x2 window, count as one map:
        with the 180x240 maps of section 3.1 the paper gets 11 MB, 1.9 MB and .17 MB for 64 maps, for 11 and for
        indices. (Section 3.3 says that the maps are those after pooling. The indices of 180x240 windows would then be
        .69 MB, a multiplier of 4; the paper's .17 MB are those of 90x120.)
        """
        return 0.0

    def class_scores(self, x: Tensor) -> Tensor:
        """Return the logits of normalised images (N, 3, H, W), classes in dimension 1, pixels as `at_pixels` has them.

        What is computed for each pixel alone can be computed on them before `at_pixels` brings it to (N, H, W).
        """
        logits: Tensor = self(x)
        return logits

    def at_pixels(self, values: Tensor, x: Tensor) -> Tensor:
        """Return `values`, one for each pixel of `class_scores(x)`, as (N, H, W)."""
        return values

    def label_ids(self, x: Tensor) -> Tensor:
        """Return class ids (N, H, W) int64 of normalised images (N, 3, H, W): the arg max of the logits."""
        return self.at_pixels(self.class_scores(x).argmax(1), x)


class VGG16Encoder(Network):
    """A network whose encoder is VGG16's 13 convolutions in five stages, and can start from VGG16's weights.

    Attributes:
        encoders: the five stages.
    """

    encoders: nn.ModuleList

    def load_vgg16_bn(self, state: dict[str, Tensor]) -> None:
        """Take a torchvision `vgg16_bn` state dict into the encoder: its outputs are then VGG16's, exactly.

        VGG16's convolutions have biases, ours none: batch norm absorbs b exactly by `running_mean -= b`.

        Raises:
            ValueError: a VGG16-BN tensor is missing or has another shape.
        """
        convolutions = [m for m in self.encoders.modules() if isinstance(m, nn.Conv2d)]
        norms = [m for m in self.encoders.modules() if isinstance(m, nn.BatchNorm2d)]
        units = iter(zip(convolutions, norms, strict=True))
        index = 0
        with torch.no_grad():
            for stage in VGG16:
                for _ in stage:
                    conv, norm = next(units)
                    prefix, norm_prefix = f"features.{index}.", f"features.{index + 1}."
                    try:
                        conv.weight.copy_(state[prefix + "weight"])
                        for name in ("weight", "bias", "running_mean", "running_var"):
                            getattr(norm, name).copy_(state[norm_prefix + name])
                        assert norm.running_mean is not None  # batch norm here always tracks statistics
                        norm.running_mean -= state[prefix + "bias"]
                    except (KeyError, RuntimeError) as error:
                        raise ValueError(
                            f"not a VGG16-BN state dict: {error}; pass torchvision's vgg16_bn().state_dict()"
                        ) from error
                    index += 3
                index += 1  # the pooling layer


def vgg16_encoders(dilations: tuple[int, ...] = (1, 1, 1, 1, 1)) -> nn.ModuleList:
    """Return VGG16's five stages for RGB images, each convolution with batch norm and ReLU, without the pooling.

    Args:
        dilations: of the convolutions of each stage.
    """
    stages: list[nn.Module] = []
    channels = 3
    for widths, dilation in zip(VGG16, dilations, strict=True):
        layers: list[nn.Module] = []
        for outputs in widths:
            layers.append(conv_bn(channels, outputs, dilation=dilation))
            channels = outputs
        stages.append(nn.Sequential(*layers))
    return nn.ModuleList(stages)


def vgg16_decoders(last: tuple[int, ...]) -> nn.ModuleList:
    """Return five decoders that mirror `vgg16_encoders`; the convolutions of the last have the widths `last`."""
    decoders: list[nn.Module] = []
    channels = VGG16[-1][-1]
    for index in reversed(range(len(VGG16))):
        widths = (*VGG16[index][:-1], VGG16[index - 1][-1]) if index else last
        layers: list[nn.Module] = []
        for outputs in widths:
            layers.append(conv_bn(channels, outputs))
            channels = outputs
        decoders.append(nn.Sequential(*layers))
    return nn.ModuleList(decoders)


class Mirrored(Network):
    """Encoders, each followed by pooling, and as many decoders, each after unpooling with its encoder's indices.

    Attributes:
        deep: the number of deepest encoders, and of their decoders, that dropout follows.
        adds_encoder_maps: to a decoder's output, the pooled maps of the encoder above are added, which have its size.
    """

    encoders: nn.ModuleList
    decoders: nn.ModuleList
    classifier: nn.Conv2d
    dropout: nn.Dropout
    deep: int
    adds_encoder_maps = False

    @property
    def storage_multiplier(self) -> float:
        """Return `Network.storage_multiplier`: the first encoder's maps, or their indices."""
        maps = next(m.out_channels for m in self.encoders.modules() if isinstance(m, nn.Conv2d))
        return maps if self.adds_encoder_maps else maps / 64

    def between(self, x: Tensor) -> Tensor:
        """Return the deepest maps as the first decoder gets them."""
        return x

    def forward(self, x: Tensor) -> Tensor:
        stages, kept = [], []
        for depth, encoder in enumerate(self.encoders):
            x = encoder(x)
            size = x.shape[-2:]
            x, memory = self.pooling.pool(x)
            stages.append((memory, size))
            if depth >= len(self.encoders) - self.deep:
                x = self.dropout(x)
            if self.adds_encoder_maps and depth < len(self.encoders) - 1:
                kept.append(x)
        x = self.between(x)
        for depth, decoder in enumerate(self.decoders):
            memory, size = stages.pop()
            x = decoder(self.pooling.unpool(x, memory, (int(size[0]), int(size[1]))))
            if depth < self.deep:
                x = self.dropout(x)
            if kept:
                x = x + kept.pop()
        logits: Tensor = self.classifier(x)
        return logits


class SegNet(Mirrored, VGG16Encoder):
    """The paper's network: VGG16's 13 convolutions, and 13 mirrored ones of which the last is the classifier.

    Section 3: each convolution is followed by batch norm and ReLU; 2x2 max-pooling keeps its indices; each decoder
    unpools with the indices of its mirrored encoder. The 13th decoder convolution yields K channels (3x3, with bias)
    and goes straight to the soft-max classifier.

    Args:
        classes: K.
        dropout: probability of dropout after the deeper stages (3 to 5 and their decoders), 0 for none; the paper's
            Bayesian variant (arXiv:1511.02680) and its recipe use 0.5.
    """

    def __init__(self, classes: int = 11, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoders = vgg16_encoders()
        self.decoders = vgg16_decoders(VGG16[0][:-1])
        self.classifier = nn.Conv2d(VGG16[0][-1], classes, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.deep = 3
        he_initialise(self)


class LocalContrast(nn.Module):
    """Local contrast normalisation of the input (section 3.2): less the local mean, over the local deviation.

    Jarrett et al. (ICCV 2009) with a square window in place of a Gaussian; the deviation's floor is its mean over the
    image, so that flat sky does not become noise.
    """

    def __init__(self, window: int = 9) -> None:
        super().__init__()
        self.mean = nn.AvgPool2d(window, 1, window // 2, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x - self.mean(x)
        deviation = self.mean((x * x).mean(1, keepdim=True)).sqrt()
        return x / torch.maximum(deviation, deviation.mean((2, 3), keepdim=True)).clamp(min=1e-4)


def basic_encoders() -> nn.ModuleList:
    """Return the four encoders that SegNet-Basic and FCN-Basic share: 64 maps, 7x7 kernels, batch norm and ReLU."""
    return nn.ModuleList([conv_bn(3 if i == 0 else 64, 64, 7) for i in range(4)])


class SegNetBasic(Mirrored):
    """The paper's small network: 4 encoders and 4 decoders of 64 maps with 7x7 kernels.

    Section 3.1: no biases after convolutions, no ReLU in the decoder, and a wide 7x7 context so that a pixel of the
    smallest layer sees 106x106 pixels; a 1x1 classifier (here with bias) ends it.

    Args:
        classes: K.
        dropout: probability of dropout after the two deepest encoders and decoders, 0 for none.
        local_contrast: normalise the input's local contrast first, as the paper does.
    """

    def __init__(self, classes: int = 11, *, dropout: float = 0.0, local_contrast: bool = False) -> None:
        super().__init__()
        self.input_norm = LocalContrast() if local_contrast else nn.Identity()
        self.encoders = basic_encoders()
        self.decoders = nn.ModuleList([conv_bn(64, 64, 7, relu=False) for _ in range(4)])
        self.classifier = nn.Conv2d(64, classes, 1)
        self.dropout = nn.Dropout(dropout)
        self.deep = 2
        he_initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.input_norm(x))


class Residual(nn.Module):
    """Two 3x3 convolutions around an identity (He et al., arXiv:1512.03385); the second one dilated."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.inner = conv_bn(channels, channels)
        self.outer = conv_bn(channels, channels, relu=False, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.outer(self.inner(x)))


class SegNetFast(Network):
    """SegNet's idea for two CPU cores: a pooling-index encoder-decoder of 6.2 GFLOP at 360x480.

    Departures from the paper, each for speed at equal or better accuracy:
        * A stride-2 stem: nothing but the input and the label map lives at full size.
        * Three pooling stages instead of five, of *pre-activations*: max and ReLU commute, so values stay the same, a
          quarter of the ReLUs remain, and windows that are negative throughout keep a distinct maximum.
        * Unpooling gives the value to every maximum of a window (`pooling.MASK`): one comparison, no index arithmetic.
        * Dilated residual blocks at 1/16 size give every pixel the whole image as context.
        * The unpooled map is added to the encoder's own (the paper's "EncoderAddition" variant, Table 1).
        * The classifier yields the K logits of four sub-pixels at half size (Shi et al., arXiv:1609.05158), so that the
          arg max runs before, not after, the step to full size.

    Args:
        classes: K.
        widths: channels at 1/2, 1/4 and 1/8 size; the last also serves 1/16. Multiples of 16, the vector width.
        dilations: one residual block at 1/16 size for each.
    """

    pooling = MASK

    def __init__(
        self,
        classes: int = 11,
        *,
        widths: tuple[int, int, int] = (32, 64, 128),
        dilations: tuple[int, ...] = (1, 2, 4, 8, 4),
    ) -> None:
        super().__init__()
        half, quarter, eighth = widths
        self.classes = classes
        self.encoders = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(half)),
                nn.Sequential(conv_bn(half, quarter), conv_bn(quarter, quarter, relu=False)),
                nn.Sequential(conv_bn(quarter, eighth), conv_bn(eighth, eighth, relu=False)),
            ]
        )
        self.context = nn.Sequential(*(Residual(eighth, dilation) for dilation in dilations))
        self.decoders = nn.ModuleList([conv_bn(eighth, quarter), conv_bn(quarter, half), conv_bn(half, half)])
        self.classifier = nn.Conv2d(half, classes * 4, 1)
        he_initialise(self)
        with torch.no_grad():  # the four sub-pixels of a class start equal
            weight = self.classifier.weight
            weight.copy_(weight[::4].repeat_interleave(4, 0))

    @property
    def storage_multiplier(self) -> float:
        """Return `Network.storage_multiplier`: all maps of the first encoder."""
        return self.classifier.in_channels

    def sub_pixels(self, x: Tensor) -> Tensor:
        """Return logits (N, 4 K, ceil(H/2), ceil(W/2)); channel 4 k + 2 i + j is class k at sub-pixel (i, j)."""
        stages = []
        for encoder in self.encoders:
            full = encoder(x)
            x, memory = self.pooling.pool(full)
            x = F.relu(x)
            stages.append((full, memory))
        x = self.context(x)
        for decoder in self.decoders:
            full, memory = stages.pop()
            size = (int(full.shape[-2]), int(full.shape[-1]))
            x = decoder(F.relu(full) + self.pooling.unpool(x, memory, size))
        logits: Tensor = self.classifier(x)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.sub_pixels(x), 2)[..., : x.shape[-2], : x.shape[-1]]

    def class_scores(self, x: Tensor) -> Tensor:
        """Return logits (N, K, 4, ceil(H/2), ceil(W/2)): each sub-pixel's own, before the step to full size."""
        logits = self.sub_pixels(x)
        n, _, h, w = logits.shape
        return logits.reshape(n, self.classes, 4, h, w)

    def at_pixels(self, values: Tensor, x: Tensor) -> Tensor:
        """Take the step to full size: return (N, H, W) of (N, 4, ceil(H/2), ceil(W/2))."""
        n, _, h, w = values.shape
        # not F.pixel_shuffle, which has no converter for TensorRT
        values = values.reshape(n, 2, 2, h, w).permute(0, 3, 1, 4, 2).reshape(n, 2 * h, 2 * w)
        return values[..., : x.shape[-2], : x.shape[-1]]

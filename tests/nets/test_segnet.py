"""SegNet, SegNet-Basic and SegNet-Fast: structures as published, VGG16's weights taken exactly, equal pooling forms."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from segnet_live.nets.deploy import Deploy
from segnet_live.nets.pooling import MASK, RESIZE, SLICES
from segnet_live.nets.segnet import VGG16, SegNet, SegNetBasic, SegNetFast
from tests.support.networks import lively

MEAN, STD = (0.41, 0.42, 0.43), (0.3, 0.31, 0.32)


@pytest.mark.parametrize(("network", "parameters"), [(SegNet, 29_441_419), (SegNetBasic, 1_416_075)])
def test_parameter_count(network: type[nn.Module], parameters: int) -> None:
    assert sum(p.numel() for p in network().parameters()) == parameters


def test_segnet_mirrors_vgg16() -> None:
    network = SegNet(11)
    shapes = [tuple(m.weight.shape) for m in network.modules() if isinstance(m, nn.Conv2d)]
    channels = [3, *(c for stage in VGG16 for c in stage)]
    encoder = [(out, inside, 3, 3) for inside, out in itertools.pairwise(channels)]
    assert shapes[:13] == encoder
    mirrored = [(inside, out, 3, 3) for out, inside, _, _ in reversed(encoder[1:])]
    assert shapes[13:] == [*mirrored, (11, 64, 3, 3)]


def test_segnet_basic_follows_section_3_1() -> None:
    network = SegNetBasic(11)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert [m.kernel_size for m in convolutions] == [(7, 7)] * 8 + [(1, 1)]
    assert [m.bias is None for m in convolutions] == [True] * 8 + [False]
    assert not any(isinstance(m, nn.ReLU) for m in network.decoders.modules())


class ReferenceVGG16(nn.Module):
    """torchvision's `vgg16_bn` features, convolutions with biases, written down independently."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for stage in VGG16:
            for outputs in stage:
                layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
                channels = outputs
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.features(x)
        return out


def test_encoder_gives_what_vgg16_gives() -> None:
    torch.manual_seed(0)
    reference = ReferenceVGG16().eval()
    for module in reference.modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is not None
            nn.init.normal_(module.bias)
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    network = SegNet(11).eval()
    network.load_vgg16_bn(reference.state_dict())
    x = torch.randn(1, 3, 45, 64)
    with torch.inference_mode():
        y = x
        for encoder in network.encoders:
            y, _ = network.pooling.pool(encoder(y))
        expected = reference(x)
    # rounding only: the bias is added before, or taken from the mean within, the same normalisation
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)


def test_a_state_dict_that_is_not_vgg16_s_is_refused() -> None:
    with pytest.raises(ValueError, match="not a VGG16-BN state dict"):
        SegNet(11).load_vgg16_bn({"features.0.weight": torch.zeros(64, 3, 3, 3)})


INDEXED = ["segnet", "segnet-basic", "segnet-basic-encoder-addition", "segnet-basic-single-channel-decoder"]
INDEXED += ["deconvnet", "segnet-2015"]


@pytest.mark.parametrize("name", INDEXED)
def test_deployed_pooling_forms_give_the_same_labels(name: str) -> None:
    network = lively(name)
    rgb = torch.randint(0, 256, (1, 45, 59, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(6))
    with torch.inference_mode():
        slices, resize = (Deploy(network, MEAN, STD, pooling=form)(rgb) for form in (SLICES, RESIZE))
    assert (slices == resize).float().mean() > 0.999  # memory layouts differ, so convolutions sum in another order


def test_segnet_fast_pools_by_mask() -> None:
    assert SegNetFast(11).pooling is MASK

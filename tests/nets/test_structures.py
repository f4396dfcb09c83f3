"""What each network is made of, as its paper has it; and the upsampling that the networks without indices share."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segnet_live.nets.basic_variants import FCNBasic, FCNBasicNoAddition
from segnet_live.nets.deeplab import DeepLabLargeFOV
from segnet_live.nets.first_segnet import FirstSegNet
from segnet_live.nets.networks import NETWORKS
from segnet_live.nets.pooling import PLAIN
from segnet_live.nets.segnet import SegNetBasic
from segnet_live.nets.unet import UNetVGG16
from segnet_live.nets.upsample import Bilinear, Deconvolution
from tests.support.networks import lively


@pytest.mark.parametrize("size", [(5, 6), (1, 7), (4, 4)])
def test_plain_pooling_is_max_pooling_rounded_up(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    values, memory = PLAIN.pool(x)
    assert torch.equal(values, F.max_pool2d(x, 2, 2, ceil_mode=True))
    repeated = PLAIN.unpool(values, memory, size)
    assert repeated.shape == x.shape
    assert (repeated >= x).all()


@pytest.mark.parametrize(("factor", "kernel"), [(2, 4), (2, 8), (8, 16)])
def test_a_deconvolution_starts_as_bilinear_interpolation(factor: int, kernel: int) -> None:
    x = torch.randn(1, 3, 7, 9, generator=torch.Generator().manual_seed(1))
    size = (7 * factor - 1, 9 * factor)
    with torch.inference_mode():
        learnt, fixed = Deconvolution(3, factor, kernel)(x, size), Bilinear(factor)(x, size)
    inside = slice(factor, -factor)  # beyond its border, a deconvolution sees zeros
    assert learnt.shape == fixed.shape == (1, 3, *size)
    torch.testing.assert_close(learnt[..., inside, inside], fixed[..., inside, inside])


def test_a_hand_computed_doubling() -> None:
    up = Bilinear(2)(torch.tensor([[[[0.0, 4.0]]]]), (2, 4))
    assert up[0, 0, 0].tolist() == [0.0, 1.0, 3.0, 4.0]


VARIANTS = ["segnet-basic-encoder-addition", "segnet-basic-single-channel-decoder", "bilinear-interpolation"]
VARIANTS += ["fcn-basic", "fcn-basic-no-addition", "fcn-basic-no-dim-reduction"]
VARIANTS += ["fcn-basic-no-addition-no-dim-reduction"]


@pytest.mark.parametrize("name", VARIANTS)
def test_the_variants_differ_in_their_decoders_only(name: str) -> None:
    encoder = {k: v.shape for k, v in SegNetBasic(11).encoders.state_dict().items()}
    variant = NETWORKS[name](11, local_contrast=True)
    assert {k: v.shape for k, v in variant.get_submodule("encoders").state_dict().items()} == encoder
    assert type(variant.get_submodule("input_norm")).__name__ == "LocalContrast"


def test_encoder_addition_adds_the_pooled_maps_of_the_encoders() -> None:
    network = lively("segnet-basic-encoder-addition")
    assert isinstance(network, SegNetBasic)
    seen: dict[str, Tensor] = {}
    network.encoders[0].register_forward_hook(lambda m, i, o: seen.update(encoded=o))
    network.decoders[2].register_forward_hook(lambda m, i, o: seen.update(decoded=o))
    network.decoders[3].register_forward_pre_hook(lambda m, i: seen.update(next=i[0]))
    with torch.inference_mode():
        network(torch.randn(1, 3, 48, 64))
    added = seen["decoded"] + F.max_pool2d(seen["encoded"], 2, 2)
    # the last decoder sees what was added, unpooled: all its values and nothing but zeros beside them
    assert torch.equal(seen["next"][seen["next"] != 0].sort().values, added[added != 0].sort().values)


def test_single_channel_decoders_keep_maps_apart() -> None:
    network = NETWORKS["segnet-basic-single-channel-decoder"](11)
    decoder = network.get_submodule("decoders.0.0")
    assert isinstance(decoder, nn.Conv2d)
    assert decoder.weight.shape == (64, 1, 7, 7)
    # He's initialisation counts the one channel that an input reaches
    assert float(decoder.weight.detach().std()) == pytest.approx((2 / 49) ** 0.5, rel=0.1)


def test_fcn_basic_reduces_to_k_and_deconvolves_by_8x8() -> None:
    network = FCNBasic(7)
    assert [m.weight.shape for m in network.reductions] == [(7, 64, 1, 1)] * 4
    assert [m.weight.shape for m in network.decoders] == [(7, 7, 8, 8)] * 4
    assert all(m.stride == (2, 2) for m in network.decoders)
    assert len(FCNBasicNoAddition(7).reductions) == 1
    wide = NETWORKS["fcn-basic-no-dim-reduction"](7)
    assert [m.weight.shape for m in wide.get_submodule("decoders").children()] == [(64, 64, 8, 8)] * 4


@pytest.mark.parametrize(("name", "needed"), [("fcn-basic", True), ("fcn-basic-no-addition", False)])
def test_only_addition_brings_the_first_encoder_s_detail(name: str, needed: bool) -> None:
    network = lively(name)
    encoders = network.get_submodule("encoders")
    assert isinstance(encoders, nn.ModuleList)
    x = torch.randn(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = network(x)
        # what comes after the first encoder is as before: only what is added of it changes
        first = encoders[0](x)
        encoders[1].register_forward_pre_hook(lambda m, i: PLAIN.pool(first)[:1])
        encoders[0].register_forward_hook(lambda m, i, o: torch.zeros_like(o))
        assert torch.equal(network(x), before) != needed


def test_deeplab_scores_at_an_eighth() -> None:
    network = DeepLabLargeFOV(11, features=32).eval()
    shapes: list[tuple[int, ...]] = []
    network.classifier.register_forward_hook(lambda m, i, o: shapes.append(tuple(o.shape)))
    with torch.inference_mode():
        network(torch.zeros(1, 3, 72, 96))
    assert shapes == [(1, 11, 9, 12)]
    dilations = [m.dilation[0] for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert dilations == [1] * 10 + [2] * 3 + [12, 1, 1]


def test_u_net_copies_encoder_maps_whole() -> None:
    network = UNetVGG16(11)
    first = [m.weight.shape[1] for m in (decoder[0][0] for decoder in network.decoders)]
    assert first == [1024, 512, 256, 128]
    assert network.pooling is PLAIN


def test_the_first_segnet_has_tanh_and_nothing_else() -> None:
    network = FirstSegNet(11)
    assert {type(m) for m in network.modules() if not list(m.children())} == {
        nn.AvgPool2d,
        nn.Conv2d,
        nn.Tanh,
        nn.Dropout,
    }
    assert not any(isinstance(m, nn.Tanh) for m in network.decoders.modules())
    assert [m.kernel_size for m in network.modules() if isinstance(m, nn.Conv2d)] == [(7, 7)] * 8 + [(1, 1)]


def test_the_first_segnet_takes_depth_beside_rgb() -> None:
    with torch.inference_mode():
        assert FirstSegNet(5, inputs=4).eval()(torch.randn(2, 4, 45, 59)).shape == (2, 5, 45, 59)


def test_the_first_segnet_s_pairs_run_from_the_outermost_in() -> None:
    network = FirstSegNet(5)
    assert network.pairs()[0] == (network.encoders[0], network.decoders[3])
    assert network.pairs()[3] == (network.encoders[3], network.decoders[0])


@pytest.mark.parametrize(
    "name",
    [
        "segnet",
        "segnet-basic",
        "segnet-bayesian",
        "fcn",
        "fcn-learnt-deconvolution",
        "deconvnet",
        "deeplab-largefov",
        "unet-vgg16",
    ],
)
def test_dropout_acts_in_training_only(name: str) -> None:
    network = lively(name, dropout=0.5)
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(network(x), network(x))
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.train()
        assert not torch.equal(network(x), network(x))

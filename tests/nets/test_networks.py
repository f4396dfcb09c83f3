"""Every network keeps one contract: any size, a gradient everywhere, export, weights and back, the published counts."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load, save
from torch import nn

from segnet_live import card as card_module
from segnet_live.nets.deploy import Deploy, fold_batch_norm
from segnet_live.nets.networks import NETWORKS, TABLE_1, TABLE_6
from segnet_live.nets.pooling import NEAREST, RESIZE, SLICES, form_for, forms_for
from segnet_live.nets.segnet import VGG16Encoder
from tests.support.networks import SMALL, lively, shared

MEAN, STD = (0.41, 0.42, 0.43), (0.3, 0.31, 0.32)
ALL = pytest.mark.parametrize("name", NETWORKS, scope="module")  # one network's tests stand together: it is built once
SIZE = (45, 59)


def images(size: tuple[int, int] = SIZE, n: int = 1) -> torch.Tensor:
    return torch.randn(n, 3, *size, generator=torch.Generator().manual_seed(3))


def operations(network: nn.Module) -> str:
    """The names of all operations that a forward pass runs."""
    with torch.profiler.profile() as profile, torch.inference_mode():
        network(images())
    return " ".join(event.key for event in profile.key_averages())


def count(name: str) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in NETWORKS[name](11).parameters())


def test_the_names_that_need_no_torch_are_the_networks() -> None:
    assert tuple(NETWORKS) == card_module.ARCHITECTURES


@ALL
@pytest.mark.parametrize("size", [(64, 96), SIZE, (33, 32), (5, 7), (1, 1)])
def test_logits_have_the_input_s_size(name: str, size: tuple[int, int]) -> None:
    with torch.inference_mode():
        logits = shared(name)(images(size, 2))
    assert logits.shape == (2, 11, *size)
    assert logits.isfinite().all()


@ALL
def test_every_parameter_gets_a_gradient(name: str) -> None:
    network = lively(name).train()
    F.cross_entropy(network(images(n=2)), torch.arange(2 * 45 * 59).reshape(2, *SIZE) % 11).backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


@ALL
def test_the_deployed_form_exports_to_the_same_labels(name: str) -> None:
    network = shared(name)
    deploy = Deploy(network, MEAN, STD, pooling=form_for(network, "openvino"))
    rgb = torch.randint(0, 256, (1, *SIZE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))
    exported = torch.export.export(deploy, (rgb,), strict=False).module()
    with torch.inference_mode():
        assert torch.equal(exported(rgb), deploy(rgb))


def test_rows_are_normalised_to_the_same_values() -> None:
    deploy = Deploy(shared("segnet-fast"), MEAN, STD)
    rgb = torch.randint(0, 256, (2, *SIZE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))
    whole = deploy._normalised(rgb)
    deploy.in_rows = True
    assert torch.equal(deploy._normalised(rgb), whole)


@ALL
def test_deployed_form_normalises_and_labels(name: str) -> None:
    network = shared(name)
    rgb = torch.randint(0, 256, (1, *SIZE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))
    x = (rgb.permute(0, 3, 1, 2) / 255 - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    with torch.inference_mode():
        labels = Deploy(network, MEAN, STD)(rgb)
        assert labels.dtype == torch.uint8
        assert labels.shape == (1, *SIZE)
        # folded weights round differently, and a window whose two maxima nearly tie then unpools elsewhere
        assert (labels == network(x).argmax(1)).float().mean() > 0.99


@ALL
@pytest.mark.parametrize("size", [(64, 96), SIZE])
def test_label_ids_are_the_arg_max_of_the_logits(name: str, size: tuple[int, int]) -> None:
    network = shared(name)
    with torch.inference_mode():
        assert torch.equal(network.label_ids(images(size)), network(images(size)).argmax(1))


@ALL
def test_folding_batch_norm_leaves_the_function(name: str) -> None:
    network = lively(name).double()
    folded = fold_batch_norm(network)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    assert type(network)(11, **SMALL.get(name, {})).state_dict().keys() == network.state_dict().keys(), "it changed"
    x = images((32, 48)).double()
    with torch.inference_mode():
        torch.testing.assert_close(folded(x), network(x))


@ALL
def test_weights_go_to_a_file_and_back(name: str) -> None:
    network = shared(name)
    again = NETWORKS[name](11, **SMALL.get(name, {})).eval()
    again.load_state_dict(load(save({k: v.contiguous() for k, v in network.state_dict().items()})))
    with torch.inference_mode():
        assert torch.equal(again(images()), network(images()))


@ALL
def test_the_logit_bias_adds_to_the_logits(name: str) -> None:
    network = lively(name)
    x = images((64, 96))
    with torch.inference_mode():
        before = network(x)
        network.get_parameter(network.logit_bias).add_(2.5)
        torch.testing.assert_close(network(x), before + 2.5, rtol=1e-4, atol=1e-3 * max(1.0, float(before.std())))


@ALL
def test_only_networks_with_exact_pooling_indices_take_another_pooling(name: str) -> None:
    network = shared(name)
    forms = forms_for(network.pooling, "tensorrt")
    assert forms == ((NEAREST, SLICES, RESIZE) if "max_unpool2d" in operations(network) else (network.pooling,))


@pytest.mark.parametrize(("name", "row"), TABLE_1.items())
def test_decoder_variants_count_as_in_table_1(name: str, row: object) -> None:
    parameters = count(name) / 1e6
    # the table's figures are multiples of 0.025
    rounded = round(parameters / 0.025) * 0.025
    stated = 1.65 if "no-dim-reduction" in name else TABLE_1[name].parameters_m  # see basic_variants.py
    assert rounded == pytest.approx(stated)
    published = TABLE_1[name].storage_multiplier
    assert NETWORKS[name](11).storage_multiplier == (0 if published is None else published)


@pytest.mark.parametrize("name", TABLE_6)
def test_large_networks_weigh_as_in_table_6(name: str) -> None:
    stated = 328 if name == "deconvnet" else TABLE_6[name].model_mb  # see deconvnet.py
    assert count(name) * 4 / 1e6 == pytest.approx(stated, rel=0.015)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("segnet-basic-encoder-addition", 1_416_075),
        ("segnet-basic-single-channel-decoder", 625_803),
        ("bilinear-interpolation", 612_747),
        ("fcn-basic", 645_879),
        ("fcn-basic-no-addition", 643_734),
        ("fcn-basic-no-dim-reduction", 1_661_323),
        ("fcn-basic-no-addition-no-dim-reduction", 1_661_323),
        ("fcn", 134_326_497),
        ("fcn-learnt-deconvolution", 134_361_356),
        ("deconvnet", 81_906_699),
        ("deeplab-largefov", 20_501_451),
        ("unet-vgg16", 25_861_451),
        ("segnet-2015", 1_415_563),
        ("segnet-bayesian", 29_441_419),
    ],
)
def test_parameter_count(name: str, parameters: int) -> None:
    assert count(name) == parameters


@pytest.mark.parametrize("name", [n for n in NETWORKS if issubclass(NETWORKS[n], VGG16Encoder)])
def test_vgg16_s_weights_have_their_place(name: str) -> None:
    network = lively(name)
    assert isinstance(network, VGG16Encoder)
    state, index = {}, 0
    for stage in network.encoders:
        for conv, norm, _ in stage:
            state |= {f"features.{index}.weight": torch.full_like(conv.weight, 0.5)}
            state |= {f"features.{index}.bias": torch.zeros(conv.out_channels)}
            state |= {f"features.{index + 1}.{key}": value for key, value in norm.state_dict().items()}
            index += 3
        index += 1
    network.load_vgg16_bn(state)
    assert all((conv.weight == 0.5).all() for conv in network.encoders.modules() if isinstance(conv, nn.Conv2d))

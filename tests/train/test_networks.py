"""Every network trains by the same line, and what packaging does to segnet-fast it does to all."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from segnet_live.errors import UsageError
from segnet_live.learning import model_folder
from segnet_live.nets.load import load_network
from segnet_live.nets.networks import NETWORKS, TABLE_1
from tests.support.cards import write_card
from tests.support.networks import SMALL, narrow_vgg16
from tests.support.training import run
from train.cli import build_parser
from train.config import RECIPES, FitConfig, from_options, recipe
from train.logit_adjustment import log_weights, remove_prior

NEW = [name for name in NETWORKS if name not in ("segnet", "segnet-basic", "segnet-fast")]


@pytest.mark.parametrize("name", NEW)
def test_a_network_trains_with_a_second_classifier_on_its_deepest_features(
    camvid: Path, quick: FitConfig, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow_vgg16(monkeypatch)
    config = replace(quick, model=name, arguments=SMALL.get(name, {}), epochs=1, evaluations=1, auxiliary=0.4)
    fitted = run(config, camvid, tmp_path / name)
    before = {key: value.clone() for key, value in fitted.network.state_dict().items()}
    fitted.run()
    after = fitted.network.state_dict()
    assert all(value.isfinite().all() for value in after.values())
    assert [key for key, value in fitted.network.named_parameters() if torch.equal(value, before[key])] == []


def test_fit_takes_every_network_by_its_name_and_both_recipes() -> None:
    for name, by in itertools.product(NETWORKS, RECIPES):
        args = build_parser().parse_args(["fit", "--data", "d", "--model", name, "--recipe", by])
        config = from_options(args, None)
        assert (config.model, config.recipe) == (name, by)
        with torch.device("meta"):
            NETWORKS[name](11, **config.arguments)  # a recipe's arguments are its network's


@pytest.mark.parametrize("name", ["fcn-basic", "fcn-learnt-deconvolution", "bilinear-interpolation", "deconvnet"])
def test_the_class_balance_is_taken_back_where_a_network_has_its_bias(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_folder, "INT8_FROM", 10**12)  # rounding to 8 bits is tested where it is done
    card = write_card(tmp_path / "m", name, training={})
    x = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    shares = np.arange(1.0, 12.0)
    with torch.inference_mode():
        before = load_network(card)(x)
        after = load_network(remove_prior(card, shares / shares.sum(), 1.0, 0.35))(x)
    offsets = torch.from_numpy(log_weights(shares / shares.sum(), 0.65)).float().view(1, 11, 1, 1)
    torch.testing.assert_close(after, before - offsets, rtol=0, atol=0.02)  # packaged kernels are float16


def test_the_variants_of_table_1_share_the_paper_s_recipe() -> None:
    one = recipe("paper", "segnet-basic")
    for name in TABLE_1:
        assert replace(recipe("paper", name), model="segnet-basic") == one
    assert recipe("paper", "deconvnet").lr == 1e-3


def test_only_networks_with_dropout_and_vgg16_s_encoder_take_those_options() -> None:
    for name, vgg16 in (("fcn", "file"), ("unet-vgg16", "file"), ("segnet-basic", "")):
        FitConfig(name, "release", arguments={"dropout": 0.5}, vgg16=vgg16)
    with pytest.raises(UsageError, match="fcn-basic has no dropout"):
        FitConfig("fcn-basic", "release", arguments={"dropout": 0.5})
    with pytest.raises(UsageError, match="segnet-2015 has not VGG16's encoder"):
        FitConfig("segnet-2015", "release", vgg16="file")

"""Samples of a network with dropout: their mean and variance, in one batch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from segnet_live.nets.bayesian import BayesianSegNet, Samples
from segnet_live.nets.deploy import fold_batch_norm
from segnet_live.nets.segnet import SegNet
from tests.support.networks import lively

IMAGES = torch.randn(2, 3, 33, 45, generator=torch.Generator().manual_seed(0))


def sampled(samples: int = 4, **arguments: float) -> Samples:
    return Samples(lively("segnet-basic", **{"dropout": 0.5} | arguments), samples)


def test_mean_and_variance_are_those_of_single_passes() -> None:
    module = sampled(3)
    torch.manual_seed(1)
    with torch.inference_mode():
        mean, variance = module(IMAGES)
        torch.manual_seed(1)
        passes = module.network(IMAGES.repeat(3, 1, 1, 1)).softmax(1).reshape(3, 2, 11, 33, 45)
    torch.testing.assert_close(mean, passes.mean(0))
    torch.testing.assert_close(variance, passes.var(0, correction=0))


def test_probabilities_add_to_one_and_variance_is_bounded() -> None:
    with torch.inference_mode():
        mean, variance = sampled()(IMAGES)
    assert mean.shape == variance.shape == (2, 11, 33, 45)
    torch.testing.assert_close(mean.sum(1), torch.ones(2, 33, 45))
    assert (variance >= 0).all()
    assert (variance <= 0.25 + 1e-6).all()
    assert variance.mean() > 0


def test_many_samples_tend_to_one_mean() -> None:
    torch.manual_seed(2)
    few, many, more = sampled(2), sampled(64), sampled(64)
    with torch.inference_mode():
        reference, near, far = (module(IMAGES[:1])[0] for module in (more, many, few))
    assert (near - reference).square().mean() < (far - reference).square().mean() / 4


def test_dropout_stays_on_and_batch_norm_off_whatever_the_mode() -> None:
    module = sampled()
    for mode in (True, False):
        module.train(mode)
        assert all(m.training == isinstance(m, nn.Dropout) for m in module.network.modules())
    module.eval()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    with torch.inference_mode():
        assert not torch.equal(module(IMAGES)[0], module(IMAGES)[0])
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


def test_a_folded_network_can_be_sampled() -> None:
    with torch.inference_mode():
        mean, _ = Samples(fold_batch_norm(lively("segnet-basic", dropout=0.5)), 2)(IMAGES)
    assert mean.isfinite().all()


def test_the_module_exports_with_its_dropout_on() -> None:
    exported = torch.export.export(sampled(2), (IMAGES,), strict=False).module()
    with torch.inference_mode():
        assert not torch.equal(exported(IMAGES)[0], exported(IMAGES)[0])


@pytest.mark.parametrize("name", ["segnet", "segnet-basic", "fcn-basic", "segnet-2015"])
def test_a_network_without_dropout_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="has no dropout"):
        Samples(lively(name))


def test_one_sample_has_no_variance() -> None:
    with pytest.raises(ValueError, match="2 or more"):
        sampled(1)


def test_bayesian_segnet_takes_segnet_s_weights() -> None:
    network = BayesianSegNet(11)
    assert network.dropout.p == 0.5
    network.load_state_dict(SegNet(11).state_dict())

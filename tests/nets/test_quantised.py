"""Convolutions rounded to 8 bits as GPUs compute them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from segnet_live.card import find_card
from segnet_live.engine.parity import MINIMUM_INT8, reference_frames
from segnet_live.engine.resize import fit_input
from segnet_live.errors import CardError
from segnet_live.nets.deploy import Deploy
from segnet_live.nets.load import load_network
from segnet_live.nets.quantised import RoundedConvolution, in_execution_order, quantise


def test_a_rounded_convolution_by_hand() -> None:
    plain = nn.Conv2d(1, 1, 1, bias=False)
    plain.weight.data.fill_(0.5)
    rounded = RoundedConvolution(plain, largest=12.7)  # steps of 0.1; the kernel is one step of its own, 127 times
    x = torch.tensor([0.0, 0.04, 0.06, 12.7, 99.0]).reshape(1, 1, 1, 5)
    assert rounded(x).flatten().tolist() == pytest.approx([0.0, 0.0, 0.05, 6.35, 6.35])


def test_shipped_ranges_leave_the_labels_nearly_as_they_are() -> None:
    card = find_card("segnet-fast")
    network = load_network(card)
    exact = Deploy(network, card.mean, card.std)
    rounded = quantise(Deploy(network, card.mean, card.std), card.int8_maxima)
    kinds = [type(module) for module in rounded.modules() if isinstance(module, RoundedConvolution)]
    assert len(kinds) == sum(largest is not None for largest in card.int8_maxima)
    frame = torch.from_numpy(fit_input(reference_frames(1)[0], (96, 160)).copy())[None]
    with torch.inference_mode():
        share = float((exact(frame) == rounded(frame)).float().mean())
    assert MINIMUM_INT8 < share < 1


def test_ranges_of_another_network_are_refused() -> None:
    card = find_card("segnet-fast")
    deploy = Deploy(load_network(card), card.mean, card.std)
    assert len(in_execution_order(deploy)) == len(card.int8_maxima)
    with pytest.raises(CardError, match="int8 ranges for 3 convolutions, the network has"):
        quantise(deploy, (1.0, 1.0, 1.0))

"""Accuracy in int8 as GPUs compute it, on a CPU: `CAMVID=FOLDER pytest -m bench tests/bench/test_int8_miou.py -s`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from segnet_live.card import find_card
from segnet_live.engine.resize import fit_input
from segnet_live.learning.data import LabelledSet
from segnet_live.nets.deploy import Deploy
from segnet_live.nets.load import load_network
from segnet_live.nets.quantised import quantise
from segnet_live.quality import Confusion

EVERY = 4


@pytest.mark.bench
@pytest.mark.skipif("CAMVID" not in os.environ, reason="CAMVID names no folder")
@pytest.mark.parametrize("name", ["segnet-fast", "segnet-basic"])
def test_miou_in_int8(name: str) -> None:
    card = find_card(name)
    samples = LabelledSet().load(Path(os.environ["CAMVID"]), "val")[::EVERY]
    network = load_network(card)
    forms = {"fp32": Deploy(network, card.mean, card.std)}
    forms["int8"] = quantise(Deploy(network, card.mean, card.std), card.int8_maxima)
    miou = {}
    for precision, deploy in forms.items():
        confusion = Confusion(len(card.classes))
        with torch.inference_mode():
            for sample in samples:
                rgb = torch.from_numpy(fit_input(sample.rgb, (360, 480)).copy())[None]
                confusion.add(sample.labels, deploy(rgb)[0].numpy())
        miou[precision] = confusion.scores().miou
    print(f"{name}: mIoU {miou['fp32']:.3f} in fp32, {miou['int8']:.3f} in int8 (n {len(samples)})")
    assert miou["int8"] > miou["fp32"] - 0.01

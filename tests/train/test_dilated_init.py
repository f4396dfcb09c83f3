"""Dilated kernels: the same network as the whole ones, trained at every third tap first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from segnet_live.errors import UsageError
from segnet_live.learning.data import LabelledSet
from segnet_live.nets.segnet import SegNetBasic
from tests.support.training import interrupt_at, run
from train.checkpoint import load
from train.config import FitConfig
from train.dilated_init import DilatedConv2d, dilate
from train.initialise import starting_network
from train.schedule import learning_rate

KERNEL = "encoders.1.0.weight"


def other_taps(weight: torch.Tensor) -> torch.Tensor:
    rest = weight.clone()
    rest[..., ::3, ::3] = 0
    return rest


def test_a_dilated_network_equals_the_plain_one_with_its_weights() -> None:
    torch.manual_seed(1)
    network, plain = SegNetBasic().eval(), SegNetBasic().eval()
    names = list(network.state_dict())
    before = network.state_dict()[KERNEL].std()
    replaced = dilate(network)
    assert len(replaced) == 7  # all but the first encoder's
    assert list(network.state_dict()) == names
    kept = network.state_dict()[KERNEL]
    assert not other_taps(kept).any()
    assert float(kept[..., ::3, ::3].std()) == pytest.approx(float(before) * 7 / 3, rel=0.1)  # He's, for 9 taps
    plain.load_state_dict(network.state_dict())
    x = torch.randn(1, 3, 45, 60)
    with torch.no_grad():
        torch.testing.assert_close(network(x), plain(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("whole", [False, True])
def test_only_whole_kernels_learn_with_all_their_taps(whole: bool) -> None:
    network = SegNetBasic()
    for conv in dilate(network):
        conv.dilated = not whole
    loss = F.cross_entropy(network(torch.randn(1, 3, 32, 32)), torch.zeros(1, 32, 32, dtype=torch.long))
    loss.backward()
    gradient = network.get_parameter(KERNEL).grad
    assert gradient is not None
    assert bool(other_taps(gradient).any()) is whole


@pytest.mark.own_process
def test_a_run_fills_its_kernels_once_and_a_resumed_one_equals_an_unbroken_one(
    camvid: Path, quick: FitConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(quick, model="segnet-basic", dilated_init=0.5)  # 3 of 6 steps
    assert run(config, camvid, tmp_path / "unbroken").run()
    out = tmp_path / "broken"
    for step, filled in ((2, False), (3, False), (4, True)):
        with monkeypatch.context() as patch:
            interrupt_at(step, patch)
            with pytest.raises(KeyboardInterrupt):
                run(config, camvid, out).run()
        state = load(out / "last.pt")
        assert (state["step"], bool(other_taps(state["network"][KERNEL]).any())) == (step, filled)
    assert run(config, camvid, out).run()
    unbroken, resumed = (load(folder / "last.pt") for folder in (tmp_path / "unbroken", out))
    for part in ("network", "average"):
        assert all(torch.equal(value, resumed[part][name]) for name, value in unbroken[part].items())
    shipped = SegNetBasic()
    shipped.load_state_dict(resumed["average"])
    assert not any(isinstance(m, DilatedConv2d) for m in shipped.modules())


def test_the_learning_rate_rises_again_where_kernels_become_whole() -> None:
    config = FitConfig("segnet-basic", "release", dilated_init=0.5, warmup=0.1)
    plain = replace(config, dilated_init=0.0)
    assert learning_rate(config, 0.49) == learning_rate(plain, 0.49)
    assert learning_rate(config, 0.55) == pytest.approx(0.5 * learning_rate(plain, 0.55))
    assert learning_rate(config, 0.7) == learning_rate(plain, 0.7)


@pytest.mark.parametrize(("changes", "says"), [({"model": "segnet"}, "no"), ({"dilated_init": 1.5}, "0 to 1")])
def test_settings_that_cannot_be_are_named(changes: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match="dilated-init") as error:
        replace(FitConfig("segnet-basic", "release", dilated_init=0.5), **changes)
    assert says in str(error.value)


def test_a_dilated_run_starts_from_a_dilated_checkpoint_only(camvid: Path, quick: FitConfig, tmp_path: Path) -> None:
    config = replace(quick, model="segnet-basic", epochs=1, evaluations=1)
    for share in (0.0, 1.0):
        assert run(replace(config, dilated_init=share), camvid, tmp_path / str(share)).run()
    again = replace(config, dilated_init=0.5)
    kept = load(tmp_path / "1.0" / "last.pt")["average"][KERNEL]
    network = starting_network(again, LabelledSet(), str(tmp_path / "1.0" / "last.pt"), "")
    assert torch.equal(network.state_dict()[KERNEL], kept)
    with pytest.raises(UsageError, match="drop --dilated-init"):
        starting_network(again, LabelledSet(), str(tmp_path / "0.0" / "last.pt"), "")

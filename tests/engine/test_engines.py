"""Opening engines: the choice, what is kept, and what is refused (test_contract.py has what all engines do)."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segnet_live.card import ARCHITECTURES, Card, read_card
from segnet_live.engine.open import open_engine
from segnet_live.errors import CardError, EngineError
from segnet_live.learning.data import Sample
from segnet_live.learning.int8_ranges import input_maxima
from segnet_live.nets.load import load_network
from segnet_live.system.paths import cache_dir
from tests.support.cards import write_card

SIZE = (64, 96)


def scene(size: tuple[int, int] = SIZE, seed: int = 0) -> np.ndarray:
    """A smooth random picture: (H, W, 3) uint8."""
    import cv2

    noise = np.random.default_rng(seed).integers(0, 255, (9, 12, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (size[1], size[0]), interpolation=cv2.INTER_CUBIC))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_openvino_fp32_equals_eager(tmp_path: Path, architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from tests.support.networks import narrow_vgg16

    narrow_vgg16(monkeypatch)
    card = write_card(tmp_path / architecture, architecture)
    eager = open_engine(card, backend="torch", size=SIZE)
    fast = open_engine(card, backend="openvino", size=SIZE, precision="fp32")
    labels, wanted = fast.segment(scene()), eager.segment(scene())
    # not bit for bit: another order of summation decides pixels whose two best classes tie
    x = torch.from_numpy(scene()).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        logits = load_network(card).eval()((x - torch.tensor(card.mean).view(3, 1, 1)) / torch.tensor(card.std[0]))[0]
    chosen = logits.gather(0, torch.from_numpy(labels).long()[None])[0]
    ties = (logits.amax(0) - chosen < 1e-2 * logits.std()).numpy()
    assert ((labels == wanted) | ties).mean() > 0.998
    assert (labels == wanted).mean() > 0.98


def test_cached_openvino_model_needs_no_torch(tiny_card: Card) -> None:
    open_engine(tiny_card, backend="openvino", size=SIZE).close()
    script = (
        "import sys; from pathlib import Path; from segnet_live.card import read_card\n"
        "from segnet_live.engine.open import open_engine\n"
        f"open_engine(read_card(Path({str(tiny_card.folder)!r})), backend='openvino', size={SIZE})\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_damaged_cached_model_is_converted_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    card = write_card(tmp_path / "m", seed=5)
    before = open_engine(card, backend="openvino", size=SIZE, precision="fp32").segment(scene())
    newest = max(cache_dir("openvino").glob("*.bin"), key=lambda p: p.stat().st_mtime_ns)
    newest.write_bytes(newest.read_bytes()[:-100] + bytes(100))
    after = open_engine(card, backend="openvino", size=SIZE, precision="fp32").segment(scene())
    assert (before == after).all()
    assert "damaged" in caplog.text


def test_auto_says_what_it_chose_and_why(tiny_card: Card) -> None:
    info = open_engine(tiny_card, size=SIZE).info
    assert info.backend in {"openvino", "torch"}
    assert "GPU" in info.reason


def test_default_size_follows_the_source(tiny_card: Card) -> None:
    assert open_engine(tiny_card, backend="torch", source_size=(540, 960)).info.input_size == (320, 544)
    small = replace(tiny_card, input_size=(240, 320))
    assert open_engine(small, backend="torch", source_size=(360, 480)).info.input_size == (240, 320)
    assert open_engine(tiny_card, backend="torch").info.input_size == tiny_card.input_size


@pytest.mark.parametrize(
    ("backend", "precision", "said"),
    [("nope", "auto", "unknown backend"), ("openvino", "fp64", "precision"), ("torch", "int9", "precision")],
)
def test_unknown_choices_are_named(tiny_card: Card, backend: str, precision: str, said: str) -> None:
    with pytest.raises(EngineError, match=said):
        open_engine(tiny_card, backend=backend, precision=precision, size=SIZE)


def change_card(card: Card, **fields: object) -> Card:
    path = card.folder / "card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return read_card(card.folder)


def test_weights_with_another_sha256_are_refused(tmp_path: Path) -> None:
    card = write_card(tmp_path / "m")
    data = bytearray(card.weights_path.read_bytes())
    data[-1] ^= 1
    card.weights_path.write_bytes(data)
    with pytest.raises(CardError, match="sha256"):
        open_engine(card, backend="torch", size=SIZE)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    card = change_card(write_card(tmp_path / "m"), arguments={"widths": [16, 32, 64]})
    with pytest.raises(CardError, match="do not belong together"):
        open_engine(card, backend="openvino", size=SIZE)


def test_weights_with_nan_are_refused(tmp_path: Path) -> None:
    import hashlib

    from safetensors.numpy import load, save

    card = write_card(tmp_path / "m")
    tensors = load(card.weights_path.read_bytes())
    name = next(iter(tensors))
    tensors[name] = np.full_like(tensors[name], np.nan)
    data = save(tensors)
    card.weights_path.write_bytes(data)
    card = change_card(card, sha256=hashlib.sha256(data).hexdigest())
    with pytest.raises(CardError, match=f"{name} holds NaN"):
        open_engine(card, backend="torch", size=SIZE)


def test_unknown_architecture_is_refused(tmp_path: Path) -> None:
    card = change_card(write_card(tmp_path / "m"), architecture="unet")
    with pytest.raises(CardError, match="unknown architecture 'unet'"):
        open_engine(card, backend="torch", size=SIZE)


def test_int8_ranges_are_of_the_convolutions_that_follow_a_relu(tiny_card: Card) -> None:
    maxima = input_maxima(tiny_card, [Sample("", scene(seed=s), np.zeros(SIZE, np.uint8)) for s in range(2)])
    assert maxima[0] is None, "the first convolution sees negative values"
    assert len(maxima) == 19
    assert all(value and value > 0 for value in maxima[1:])


@pytest.mark.filterwarnings("ignore")  # torch.export 2.13 warns of its own deprecated internals
@pytest.mark.parametrize(
    "architecture",
    ["fcn-basic", "unet-vgg16", "segnet-basic-encoder-addition", "segnet-basic-single-channel-decoder"],
)
def test_each_convolution_gets_its_own_int8_range(tmp_path: Path, architecture: str) -> None:
    import torch
    from torch import nn

    from segnet_live.engine.int8 import convolutions, quantise
    from segnet_live.engine.quiet_openvino import convert_model, ov
    from segnet_live.nets.deploy import Deploy
    from segnet_live.nets.load import load_network
    from segnet_live.nets.pooling import SLICES

    card = write_card(tmp_path / "m", architecture)
    deploy = Deploy(load_network(card), card.mean, card.std, pooling=SLICES)
    ran: list[nn.Module] = []
    found = [m for m in deploy.modules() if isinstance(m, nn.Conv2d)]
    handles = [m.register_forward_pre_hook(lambda module, _: ran.append(module)) for m in found]
    example = torch.from_numpy(scene())[None]
    with torch.inference_mode():
        deploy(example)
        for handle in handles:
            handle.remove()
        model = convert_model(torch.export.export(deploy, (example,), strict=False))
    assert "openvino_telemetry" not in sys.modules, "what is converted is nobody else's business"
    kernels = [op.input(1).get_source_output().get_node().data.ravel() for op in convolutions(model)]
    assert len(kernels) == len(ran)
    assert all(np.array_equal(k, m.weight.detach().numpy().ravel()) for k, m in zip(kernels, ran, strict=True))
    quantise(model, [None, *(1.0 for _ in kernels[1:])])
    ov.Core().compile_model(model, "CPU")


def test_int8_needs_ranges(tiny_card: Card) -> None:
    with pytest.raises(EngineError, match="no int8 ranges"):
        open_engine(tiny_card, backend="openvino", precision="int8", size=SIZE)


def test_int8_ranges_of_another_network_are_refused(tmp_path: Path) -> None:
    card = change_card(write_card(tmp_path / "m"), int8={"maxima": [None, 1.0]})
    with pytest.raises(CardError, match="ranges for 2 convolutions, the network has 19"):
        open_engine(card, backend="openvino", precision="int8", size=SIZE)


def test_a_network_that_takes_depth_is_refused_in_one_line(tmp_path: Path) -> None:
    card = replace(write_card(tmp_path / "rgbd", "segnet-2015"), arguments={"inputs": 4})
    with pytest.raises(EngineError, match="4 channels, RGB and depth, and there is no depth here; choose a model"):
        open_engine(card, backend="torch")


@pytest.mark.parametrize(("said", "names"), [("x.cpp:9:\nCan't allocate 9 bytes", "not enough memory"), ("odd", "odd")])
def test_openvino_failing_on_a_frame_is_one_line(
    said: str, names: str, tiny_card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segnet_live.engine.openvino import OpenVINOEngine

    class Failing:
        def infer(self, *_: object, **__: object) -> None:
            raise RuntimeError(said)

    engine = OpenVINOEngine(tiny_card, SIZE)
    monkeypatch.setattr(engine, "_requests", [Failing()])
    with pytest.raises(EngineError, match=names) as caught:
        engine.segment(scene())
    assert "\n" not in str(caught.value)

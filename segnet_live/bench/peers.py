"""Time any other torch network on our terms: deployed as ours are, and run by the same engines."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segnet_live.card import Card
from segnet_live.config import Backend, Precision, format_size
from segnet_live.engine import eager, openvino
from segnet_live.engine.base import Engine
from segnet_live.errors import EngineError, UsageError, first_line
from segnet_live.frame import Size
from segnet_live.nets.segnet import Network

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class PeerNetwork(Network):
    """A peer's network from images to logits of the same size, as ours are.

    Of a dict the entry 'out' is taken (torchvision), of a list or tuple the first; logits of another size are brought
    to the input's bilinearly.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        logits = self.network(x)
        if isinstance(logits, Mapping):
            logits = logits["out"]
        elif isinstance(logits, Sequence):
            logits = logits[0]
        if logits.shape[-2:] != x.shape[-2:]:
            logits = F.interpolate(logits, size=x.shape[-2:], mode="bilinear", align_corners=False)
        return logits  # type: ignore[no-any-return]


def load_peer(spec: str, classes: int) -> PeerNetwork:
    """Return the network that `MODULE:FACTORY` makes, in evaluation mode.

    A factory that takes `num_classes` gets ours, and one that takes `weights` or `weights_backbone` gets None: speed
    does not depend on them, and nothing is downloaded. Modules in the current folder are found.

    Raises:
        UsageError: the module or the factory is missing, fails, or makes no torch network.
    """
    module_name, colon, factory_name = spec.partition(":")
    if not (module_name and colon and factory_name):
        raise UsageError(f"--against got {spec!r}", "give MODULE:FACTORY, such as mynets.pidnet:make")
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever a stranger's module raises on import
        problem = f"--against {spec}: cannot import {module_name} ({reason(error)})"
        raise UsageError(problem, "is it installed here?") from error
    finally:
        sys.path.remove(str(Path.cwd()))
    factory = getattr(module, factory_name, None)
    if not callable(factory):
        raise UsageError(f"--against {spec}: {module_name} has no callable {factory_name}", "name a function or class")
    try:
        known = inspect.signature(factory).parameters
        arguments = {"num_classes": classes, "weights": None, "weights_backbone": None}
        network = factory(**{name: value for name, value in arguments.items() if name in known})
    except Exception as error:
        raise UsageError(f"--against {spec}: {factory_name} failed ({reason(error)})") from error
    if not isinstance(network, nn.Module):
        problem = f"--against {spec}: got a {type(network).__name__}"
        raise UsageError(problem, "the factory must make a torch.nn.Module")
    return PeerNetwork(network.eval())


def open_peer(
    name: str, network: PeerNetwork, card: Card, backend: Backend, size: Size, precision: Precision
) -> Engine:
    """Open `network` on the engine that would run `card`.

    Args:
        card: one of ours, to stand beside; its name and normalisation are not used.

    Raises:
        UsageError: the network cannot take such an image, or gives no logits.
        EngineError: it cannot be converted or compiled, or the backend or precision is another one.
    """
    try:
        with torch.inference_mode():
            shape = tuple(network.label_ids(torch.zeros((1, 3, *size))).shape)
    except Exception as error:  # a stranger's network raises anything
        problem = f"--against {name}: cannot run on a {format_size(size)} image ({reason(error)})"
        raise UsageError(problem, "try --size") from error
    if shape != (1, *size):
        raise UsageError(
            f"--against {name}: its label map is {shape}, expected {(1, *size)}", "it must give logits NKHW"
        )
    mean, std = IMAGENET
    stand_in = replace(card, name=name, mean=mean, std=std, int8_maxima=())
    try:
        if backend == "openvino" and precision in openvino.PRECISIONS:
            return openvino.OpenVINOEngine(stand_in, size, precision=precision, reason="peer", network=network)
        if backend == "torch" and precision in eager.DTYPES:
            return eager.EagerEngine(stand_in, size, precision=precision, reason="peer", network=network)
    except Exception as error:
        raise EngineError(f"--against {name}: {backend} cannot run it ({reason(error)})") from error
    raise EngineError(f"--against cannot run on {backend} {precision}", "use --backend openvino or torch")


def reason(error: BaseException) -> str:
    """Return in one line what a peer's module raised."""
    text = first_line(error)
    name = type(error).__name__
    return text if text == name else f"{name}: {text}"

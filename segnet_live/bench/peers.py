"""Any other torch network on our terms: same input, same runtime, same uint8-in and label-map-out form around it."""

from __future__ import annotations

import importlib
import inspect
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import openvino as ov
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from segnet_live.engine.base import EngineInfo
from segnet_live.engine.eager import DTYPES
from segnet_live.engine.openvino import PRECISIONS, compile_options
from segnet_live.engine.resize import fit_input
from segnet_live.errors import EngineError, UsageError
from segnet_live.frame import LabelMap, Size

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Peer(nn.Module):
    """(N, H, W, 3) uint8 RGB -> (N, H, W) uint8 ids, as our deployed networks do it.

    Of a dict the entry 'out' is taken (torchvision), of a list or tuple the first; logits of another size are brought
    to the input's bilinearly before the arg max.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.network = network.to(dtype)
        self.dtype = dtype
        mean, std = (torch.tensor(v).view(1, 1, 1, 3) for v in IMAGENET)
        self.register_buffer("scale", (1 / (255 * std)).to(dtype))
        self.register_buffer("shift", (-mean / std).to(dtype))
        self.scale: Tensor
        self.shift: Tensor
        self.eval()

    def forward(self, rgb: Tensor) -> Tensor:
        logits = self.network((rgb.to(self.dtype) * self.scale + self.shift).permute(0, 3, 1, 2))
        if isinstance(logits, Mapping):
            logits = logits["out"]
        elif isinstance(logits, Sequence):
            logits = logits[0]
        if logits.shape[-2:] != rgb.shape[1:3]:
            logits = F.interpolate(logits, size=rgb.shape[1:3], mode="bilinear", align_corners=False)
        ids: Tensor = logits.argmax(1).to(torch.uint8)
        return ids


def load_peer(spec: str, classes: int) -> nn.Module:
    """The network that `MODULE:FACTORY` makes, in evaluation mode.

    A factory that takes `num_classes` gets ours, and one that takes `weights` or `weights_backbone` gets None: speed
    does not depend on them, and nothing is downloaded. Modules in the current folder are found.

    Raises:
        UsageError: the module or the factory is missing, fails, or makes no torch network.
    """
    module_name, colon, factory_name = spec.partition(":")
    if not (module_name and colon and factory_name):
        raise UsageError(f"--against got {spec!r}; give MODULE:FACTORY, such as mynets.pidnet:make")
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever a stranger's module raises on import
        raise UsageError(
            f"--against {spec}: cannot import {module_name} ({_first_line(error)}); is it installed here?"
        ) from error
    finally:
        sys.path.remove(str(Path.cwd()))
    factory = getattr(module, factory_name, None)
    if not callable(factory):
        raise UsageError(f"--against {spec}: {module_name} has no callable {factory_name}; name a function or class")
    try:
        known = inspect.signature(factory).parameters
        arguments = {"num_classes": classes, "weights": None, "weights_backbone": None}
        network = factory(**{name: value for name, value in arguments.items() if name in known})
    except Exception as error:
        raise UsageError(f"--against {spec}: {factory_name} failed ({_first_line(error)})") from error
    if not isinstance(network, nn.Module):
        raise UsageError(f"--against {spec}: got a {type(network).__name__}; the factory must make a torch.nn.Module")
    return network.eval()


class PeerEngine:
    """A peer behind the engine protocol, compiled exactly as our own networks are.

    Args:
        backend: "openvino" or "torch".

    Raises:
        UsageError: the network cannot take such an image.
        EngineError: it cannot be converted or compiled, or the backend or precision is another one.
    """

    def __init__(self, name: str, network: nn.Module, backend: str, size: Size, precision: str) -> None:
        example = torch.zeros((1, *size, 3), dtype=torch.uint8)
        peer = Peer(network)
        try:
            with torch.inference_mode():
                shape = tuple(peer(example).shape)
        except Exception as error:
            height, width = size
            raise UsageError(
                f"--against {name}: cannot run on a {height}x{width} image ({_first_line(error)}); try --size"
            ) from error
        if shape != (1, *size):
            raise UsageError(
                f"--against {name}: its label map is {shape}, expected {(1, *size)}; it must give logits NKHW"
            )
        self._request: ov.InferRequest | None = None
        if backend == "openvino" and precision in PRECISIONS:
            self._request = _compile(name, peer, example, precision)
        elif backend == "torch" and precision in DTYPES:
            device = "cuda" if torch.cuda.is_available() else "cpu"
            self._peer = Peer(network, DTYPES[precision]).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self._device = device
        else:
            raise EngineError(f"--against cannot run on {backend} {precision}; use --backend openvino or torch")
        self.info = EngineInfo(backend, "", precision, name, size, "peer")

    def segment(self, rgb: NDArray[np.uint8]) -> LabelMap:
        fitted = np.ascontiguousarray(fit_input(rgb, self.info.input_size))
        if self._request is not None:
            output = self._request.infer([fitted[None]], share_inputs=True, share_outputs=True)
            return np.array(output[0][0], np.uint8)
        with torch.inference_mode():
            ids: LabelMap = self._peer(torch.from_numpy(fitted)[None].to(self._device))[0].cpu().numpy()
            return ids

    def close(self) -> None:
        self._request = None


def _compile(name: str, peer: Peer, example: Tensor, precision: str) -> ov.InferRequest:
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.export 2.13 warns of its own deprecated internals
            model = ov.convert_model(torch.export.export(peer, (example,), strict=False))
        return ov.Core().compile_model(model, "CPU", compile_options(precision)).create_infer_request()
    except Exception as error:
        raise EngineError(f"--against {name}: OpenVINO cannot convert it ({_first_line(error)})") from error


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__

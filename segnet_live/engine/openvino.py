"""Backend `openvino`: the default on a CPU. Neither torch nor the weights are touched once its model is cached."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import tempfile
import warnings
from pathlib import Path

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from segnet_live.card import Card, read_weights
from segnet_live.engine.base import EngineInfo
from segnet_live.engine.int8 import quantise
from segnet_live.engine.resize import fit_input
from segnet_live.errors import EngineError
from segnet_live.frame import LabelMap, Size
from segnet_live.paths import cache_dir

log = logging.getLogger(__name__)

GRAPH = "uint8 HWC -> uint8 ids, r2"
PRECISIONS = ("fp32", "bf16", "int8")


def _key(card: Card, size: Size) -> str:
    """Names everything that makes a converted model another one."""
    facts = {
        "graph": GRAPH,
        "weights": card.sha256,
        "architecture": card.architecture,
        "arguments": card.arguments,
        "classes": len(card.classes),
        "mean": card.mean,
        "std": card.std,
        "size": size,
        "openvino": ov.__version__,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _intact(manifest: Path) -> bool:
    """Both files of a converted model are there and hold what its manifest says."""
    try:
        sums = json.loads(manifest.read_text())["sha256"]
        return all(_sha256(manifest.with_suffix(suffix)) == sums[suffix] for suffix in (".xml", ".bin"))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _convert(card: Card, size: Size, manifest: Path) -> None:
    """Write the deployed network as OpenVINO IR; the manifest comes last and makes it valid."""
    import torch

    from segnet_live.nets.deploy import Deploy
    from segnet_live.nets.load import load_network
    from segnet_live.nets.pooling import MASK, SLICES

    network = load_network(card)
    pooling = MASK if network.pooling is MASK else SLICES
    deploy = Deploy(network, card.mean, card.std, pooling=pooling)
    example = torch.zeros((1, *size, 3), dtype=torch.uint8)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.export 2.13 warns of its own deprecated internals
        model = ov.convert_model(torch.export.export(deploy, (example,), strict=False))
    with tempfile.TemporaryDirectory(dir=manifest.parent) as folder:
        partial = Path(folder) / "model.xml"
        ov.save_model(model, partial, compress_to_fp16=False)
        sums = {suffix: _sha256(partial.with_suffix(suffix)) for suffix in (".xml", ".bin")}
        manifest.unlink(missing_ok=True)
        for suffix in (".bin", ".xml"):
            os.replace(partial.with_suffix(suffix), manifest.with_suffix(suffix))
        partial.write_text(json.dumps({"card": card.name, "size": size, "graph": GRAPH, "sha256": sums}, indent=1))
        os.replace(partial, manifest)


def _computes_in_bf16() -> bool:
    return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _chosen(card: Card, precision: str) -> str:
    """The precision that runs for the one asked for: for "auto" the fastest that the card and this CPU have.

    Raises:
        EngineError: unknown, or missing on the card or on this CPU.
    """
    if precision == "auto":
        # every CPU with bf16 has VNNI; without it, 8-bit products could overflow
        if not _computes_in_bf16():
            return "fp32"
        return "int8" if card.int8_maxima else "bf16"
    if precision not in PRECISIONS:
        raise EngineError(f"backend openvino has no precision {precision!r}; choose from {', '.join(PRECISIONS)}")
    if precision == "bf16" and not _computes_in_bf16():
        raise EngineError("this CPU does not compute in bf16 (it needs AVX512_BF16 or AMX); use --precision fp32")
    if precision == "int8" and not card.int8_maxima:
        raise EngineError(f"{card.name} has no int8 ranges on its card; use --precision bf16 or fp32")
    return precision


def compile_options(precision: str, threads: int = 0) -> dict[str, str]:
    """How every network is compiled for the CPU, a benchmark's peers included.

    Beside int8 convolutions, the rest of the network runs in bf16 where the CPU has it.
    """
    low = precision == "bf16" or (precision == "int8" and _computes_in_bf16())
    options = {"INFERENCE_PRECISION_HINT": "bf16" if low else "f32", "PERFORMANCE_HINT": "LATENCY"}
    return options | ({"INFERENCE_NUM_THREADS": str(threads)} if threads else {})


class OpenVINOEngine:
    """Runs the deployed network with OpenVINO's CPU plugin.

    Args:
        precision: "int8" (cards with ranges), "bf16", "fp32", or "auto": the first of them that the card and this CPU
            have.
        threads: 0 leaves the number to OpenVINO (one per core).

    Raises:
        EngineError: the precision is unknown or this CPU has it not; the model does not compile.
        CardError: the weights are damaged or do not fit.
    """

    def __init__(self, card: Card, size: Size, *, precision: str = "auto", threads: int = 0, reason: str = "") -> None:
        core = ov.Core()
        precision = _chosen(card, precision)
        read_weights(card)  # a good model in the cache must not hide that its weights are damaged
        folder = cache_dir("openvino")
        manifest = folder / f"{_key(card, size)}.json"
        if not _intact(manifest):
            if manifest.exists():
                log.warning("cached model %s is damaged; converting again", manifest.name)
            _convert(card, size, manifest)
        options = compile_options(precision, threads) | {"CACHE_DIR": str(folder / "compiled")}
        try:
            model = core.read_model(manifest.with_suffix(".xml"))
            if precision == "int8":
                quantise(model, card.int8_maxima)
            compiled = core.compile_model(model, "CPU", options)
        except RuntimeError as error:
            first = str(error).strip().splitlines()[-1]
            raise EngineError(f"OpenVINO {ov.__version__} cannot compile {card.name}: {first}") from error
        self._request = compiled.create_infer_request()
        used = compiled.get_property("INFERENCE_NUM_THREADS")
        name = f"{core.get_property('CPU', 'FULL_DEVICE_NAME') or platform.processor()} ({used} threads)"
        self.info = EngineInfo("openvino", name, precision, card.name, size, reason)

    def segment(self, rgb: NDArray[np.uint8]) -> LabelMap:
        fitted = np.ascontiguousarray(fit_input(rgb, self.info.input_size))
        output = self._request.infer([fitted[None]], share_inputs=True, share_outputs=True)
        return np.array(output[0][0], np.uint8)  # a copy: the request writes the same memory next time

    def close(self) -> None:
        del self._request

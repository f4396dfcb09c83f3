"""Run backend `openvino`: the default on a CPU. Neither torch nor the weights are touched once its model is cached."""

from __future__ import annotations

import contextlib
import functools
import logging
import platform
import warnings
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segnet_live.card import Card
from segnet_live.config import Precision
from segnet_live.engine.artifacts import ArtifactStore, Fields
from segnet_live.engine.base import EngineInfo, EngineOutput
from segnet_live.engine.exporting import exporting
from segnet_live.engine.int8 import quantise
from segnet_live.engine.quiet_openvino import convert_model, ov
from segnet_live.engine.resize import fit_input
from segnet_live.errors import EngineError, lacks_memory
from segnet_live.frame import RGB, LabelMap, Size
from segnet_live.system.cores import cores
from segnet_live.system.exit import scratch_folder
from segnet_live.weights import read_weights

if TYPE_CHECKING:
    from segnet_live.nets.segnet import Network

log = logging.getLogger(__name__)

GRAPH = "uint8 HWC -> uint8 ids, r3"
CONFIDENCE_GRAPH = "uint8 margin, r1"
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "int8")
_SMALLER = "close other programs, or take a smaller --size or --model"


@functools.cache
def core() -> ov.Core:
    """Return the one Core of this process, which lives as long as the process does.

    OpenVINO 2026.4's CPU plugin gives the thread that loads it a signal stack for the registers of AVX-512 and AMX;
    each Core has a plugin. Cores that go in the order in which they came leave the thread a stack that is unmapped
    (each restores the one before it, which is gone): the next signal, Ctrl-C too, ended the process.
    """
    return ov.Core()


def _key_fields(card: Card, size: Size, confidence: bool) -> Fields:
    """Return everything that makes a converted network another one."""
    return {
        "model": card.name,
        "graph": GRAPH,
        **({"confidence": CONFIDENCE_GRAPH, "temperature": card.temperature} if confidence else {}),
        "weights": card.network_id,
        "architecture": card.architecture,
        "arguments": card.arguments,
        "classes": len(card.classes),
        "mean": card.mean,
        "std": card.std,
        "size": size,
        "openvino": ov.__version__,
    }


def _converted(card: Card, network: Network, size: Size, confidence: bool) -> ov.Model:
    """Return `network`, deployed, as an OpenVINO model in memory, for (1, h, w, 3) uint8 of this size alone."""
    import torch

    from segnet_live.nets.deploy import deploy
    from segnet_live.nets.pooling import form_for

    form = form_for(network, "openvino")
    deployed = deploy(network, card.mean, card.std, confidence=confidence, temperature=card.temperature, pooling=form)
    # Normalised in rows: 0.7 ms less of 10, as the permutation is then the layout in which convolutions read.
    deployed.in_rows = True
    example = torch.zeros((1, *size, 3), dtype=torch.uint8)
    with exporting(), torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.export 2.13 warns of its own deprecated internals
        model = convert_model(torch.export.export(deployed, (example,), strict=False))
    # The converter leaves all four sizes open. Of known ones, OpenVINO fuses more and needs a fifth less time.
    model.reshape([1, *size, 3])
    return model


def _kept(core: ov.Core, card: Card, size: Size, confidence: bool) -> tuple[ov.Model, Path | None]:
    """Return the card's converted network, and where OpenVINO may keep compiled forms of it; None: nowhere.

    It is converted and put into the store unless it is there.
    """
    store, key_fields = ArtifactStore.of("openvino"), _key_fields(card, size, confidence)
    compiled = store.folder / "compiled"
    found = store.load(key_fields)
    if found is not None and found.manifest is not None:
        manifest = found.manifest
        del found  # OpenVINO maps the file; a second copy in memory would only be in the way
        try:
            return core.read_model(manifest.with_suffix(".xml")), compiled
        except RuntimeError as error:
            log.warning("cached %s is not used (%s); it is made again", manifest, _last_line(error))
    from segnet_live.nets.load import load_network

    model = _converted(card, load_network(card), size, confidence)
    try:
        kept = store.save(key_fields, {}, _serialised(model))
        return (core.read_model(kept.with_suffix(".xml")), compiled) if kept is not None else (model, None)
    except (OSError, RuntimeError) as error:
        log.warning("the converted network is not kept: %s", _last_line(error))
        return model, None


def _serialised(model: ov.Model) -> dict[str, bytes]:
    """Return the files of an OpenVINO model by suffix.

    Raises:
        OSError, RuntimeError: the disk that holds temporary files is full.
    """
    with scratch_folder() as folder:
        path = folder / "model.xml"
        ov.save_model(model, path, compress_to_fp16=False)
        return {suffix: path.with_suffix(suffix).read_bytes() for suffix in (".xml", ".bin")}


def _compiled(
    core: ov.Core, card: Card, model: ov.Model, options: dict[str, str], folder: Path | None
) -> ov.CompiledModel:
    """Compile `model`, from `folder` or into it where there is one and OpenVINO can write to it.

    Raises:
        EngineError: OpenVINO cannot compile it.
    """
    if folder is not None:
        try:
            return core.compile_model(model, "CPU", options | {"CACHE_DIR": str(folder)})
        except RuntimeError as error:
            log.warning("OpenVINO keeps no compiled form in %s (%s)", folder, _last_line(error))
    try:
        return core.compile_model(model, "CPU", options)
    except RuntimeError as error:
        raise _cannot_compile(card, error) from error


def _cannot_compile(card: Card, error: RuntimeError) -> EngineError:
    if lacks_memory(error):
        return EngineError(f"there is not enough memory for {card.name} ({_last_line(error)})", _SMALLER)
    return EngineError(f"OpenVINO {ov.__version__} cannot compile {card.name}: {_last_line(error)}")


def _stopped(error: RuntimeError) -> EngineError:
    if lacks_memory(error):
        return EngineError(f"there is not enough memory for a frame ({_last_line(error)})", _SMALLER)
    return EngineError(f"OpenVINO stopped: {_last_line(error)}")


def _last_line(error: Exception) -> str:
    """Return what OpenVINO says after the places in its code at which it said it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()


def computes_in_bf16() -> bool:
    """Return whether this CPU has instructions for bfloat16 (AVX512_BF16 or AMX)."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _chosen(card: Card, precision: Precision) -> Precision:
    """Return the precision that runs for the one asked for: for "auto" the fastest that the card and this CPU have.

    Raises:
        EngineError: unknown, or missing on the card or on this CPU.
    """
    if precision == "auto":
        # every CPU with bf16 has VNNI; without it, 8-bit products could overflow
        if not computes_in_bf16():
            return "fp32"
        return "int8" if card.int8_maxima else "bf16"
    if precision not in PRECISIONS:
        raise EngineError(f"backend openvino has no precision {precision!r}", f"choose from {', '.join(PRECISIONS)}")
    if precision == "bf16" and not computes_in_bf16():
        raise EngineError("this CPU does not compute in bf16 (it needs AVX512_BF16 or AMX)", "use --precision fp32")
    if precision == "int8" and not card.int8_maxima:
        raise EngineError(f"{card.name} has no int8 ranges on its card", "use --precision bf16 or fp32")
    return precision


def compile_options(precision: Precision, threads: int = 0, *, overlap: bool = False) -> dict[str, str]:
    """Return the options with which every network is compiled for the CPU, a benchmark's peers included.

    Beside int8 convolutions, the rest of the network runs in bf16 where the CPU has it.

    Args:
        overlap: two frames at a time, each on half of the threads, and those on whatever core is free: other stages run
            beside them, and a thread that is tied to a core would wait for it there.
    """
    low = precision == "bf16" or (precision == "int8" and computes_in_bf16())
    options = {"INFERENCE_PRECISION_HINT": "bf16" if low else "f32"}
    options |= {"NUM_STREAMS": "2", "ENABLE_CPU_PINNING": "NO"} if overlap else {"PERFORMANCE_HINT": "LATENCY"}
    return options | ({"INFERENCE_NUM_THREADS": str(threads)} if threads else {})


class OpenVINOEngine:
    """An engine that runs the deployed network with OpenVINO's CPU plugin.

    Args:
        precision: "int8" (cards with ranges), "bf16", "fp32", or "auto": the first of them that the card and this CPU
            have.
        threads: 0 leaves the number to OpenVINO (one per core).
        network: runs in place of the card's own, with the card's name and normalisation; nothing of it is kept.
        confidence: say how sure the network is of each pixel, by a graph with a second output.
        overlap: offer what `Overlapping` does, where there are two cores; not with confidence.

    Raises:
        EngineError: the precision is unknown or this CPU has it not; the model does not compile.
        CardError: the weights are damaged or do not fit.
    """

    def __init__(
        self,
        card: Card,
        size: Size,
        *,
        precision: Precision = "auto",
        threads: int = 0,
        reason: str = "",
        network: Network | None = None,
        confidence: bool = False,
        overlap: bool = False,
    ) -> None:
        chosen = _chosen(card, precision)
        if network is None:
            read_weights(card)  # a good model in the cache must not hide that its weights are damaged
            model, folder = _kept(core(), card, size, confidence)
        else:
            model, folder = _converted(card, network, size, confidence), None
        if chosen == "int8":
            quantise(model, card.int8_maxima)
        self.overlaps = overlap and not confidence and cores() > 1
        options = compile_options(chosen, threads, overlap=self.overlaps)
        compiled = _compiled(core(), card, model, options, folder)
        self._requests = deque(compiled.create_infer_request() for _ in range(2 if self.overlaps else 1))
        # with the picture, which the request reads where it is
        self._under_way: deque[tuple[ov.InferRequest, RGB]] = deque()
        used = compiled.get_property("INFERENCE_NUM_THREADS")
        name = f"{core().get_property('CPU', 'FULL_DEVICE_NAME') or platform.processor()} ({used} threads)"
        self.info = EngineInfo("openvino", name, chosen, card.name, size, reason, confidence=confidence)

    def segment(self, rgb: RGB) -> LabelMap:
        return self.segment_with_confidence(rgb).labels

    def segment_with_confidence(self, rgb: RGB) -> EngineOutput:
        request, fitted = self._free_request(), self._fitted(rgb)
        try:
            output = request.infer([fitted], share_inputs=True, share_outputs=True)
        except RuntimeError as error:
            raise _stopped(error) from error
        # copies: the request writes the same memory next time
        labels = np.array(output[0][0], np.uint8)
        return EngineOutput(labels, np.array(output[1][0], np.uint8) if self.info.confidence else None)

    def submit(self, rgb: RGB) -> None:
        request, fitted = self._free_request(), self._fitted(rgb)
        try:
            request.start_async([fitted], share_inputs=True)
        except RuntimeError as error:
            self._settle()
            raise _stopped(error) from error
        self._under_way.append((self._requests.popleft(), fitted))

    def wait(self) -> EngineOutput:
        request, _ = self._under_way[0]
        try:
            request.wait()
        except RuntimeError as error:
            self._settle()
            raise _stopped(error) from error
        self._requests.append(self._under_way.popleft()[0])
        # a copy: the request writes the same memory next time
        return EngineOutput(np.array(request.get_output_tensor(0).data[0], np.uint8))

    def close(self) -> None:
        self._settle()
        self._requests.clear()

    def _free_request(self) -> ov.InferRequest:
        if not self._requests:
            raise EngineError("two frames are under way already" if self._under_way else "this engine is closed")
        return self._requests[0]

    def _fitted(self, rgb: RGB) -> RGB:
        """Return the picture at the network's size, (1, h, w, 3), in one piece."""
        return np.ascontiguousarray(fit_input(rgb, self.info.input_size))[None]

    def _settle(self) -> None:
        """Wait until nothing is under way, and leave what came of it."""
        while self._under_way:
            request, _ = self._under_way.popleft()
            with contextlib.suppress(RuntimeError):
                request.wait()
            self._requests.append(request)

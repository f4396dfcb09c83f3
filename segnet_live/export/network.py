"""Export a network as a file that others can run, and prove by running it that it does what the app does.

The file takes (1, height, width, 3) uint8 RGB and gives (1, height, width) class ids: normalisation and arg max are
inside. Classes, colours, licence and origin travel as metadata.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segnet_live import __version__
from segnet_live.card import Card, require_rgb
from segnet_live.engine.exporting import exporting
from segnet_live.engine.parity import reference_frames
from segnet_live.engine.resize import fit_input
from segnet_live.errors import EngineError, OutputError, UsageError, first_line
from segnet_live.export.formats import SUFFIXES, ExportPrecision, Format
from segnet_live.frame import RGB, LabelMap, Size
from segnet_live.nets.deploy import Deploy
from segnet_live.nets.load import load_network
from segnet_live.nets.pooling import form_for
from segnet_live.system.exit import scratch_folder
from segnet_live.system.files import replace_atomically

ONNX_OPSET = 18
INPUT, OUTPUT = "rgb", "ids"

MINIMUM: dict[ExportPrecision, float] = {"fp32": 0.9995, "fp16": 0.98, "int8": 0.90}
"""Label agreement with PyTorch below which a file is refused: rounding moves boundaries, a fault moves everything."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written, run and compared.

    Attributes:
        paths: the files, the one to open first.
        agreement: share of pixels 0..1 that it labels as PyTorch in fp32 does, on `frames` frames.
        runtime: what ran it, with its version.
    """

    paths: tuple[Path, ...]
    agreement: float
    frames: int
    runtime: str
    size: Size
    precision: ExportPrecision


def metadata(card: Card, size: Size, precision: str) -> dict[str, str]:
    """Return what a user of the file must know, as text by name."""
    colours = {name: list(colour) for name, colour in zip(card.classes.names, card.classes.colours, strict=True)}
    return {
        "model": card.name,
        "architecture": card.architecture,
        "classes": json.dumps(card.classes.names),
        "colours": json.dumps(colours),
        "void_id": str(card.classes.void_id),
        "input": f"{INPUT}: (1, {size[0]}, {size[1]}, 3) uint8, RGB; normalisation is inside",
        "output": f"{OUTPUT}: (1, {size[0]}, {size[1]}) class ids",
        "precision": precision,
        "licence": card.licence,
        "training_data": str(card.training.get("data", "unknown")),
        "weights_sha256": card.weights_id,
        "source": "V. Badrinarayanan, A. Kendall, R. Cipolla, SegNet, arXiv:1511.00561",
        "made_by": f"segnet-live {__version__}",
    }


def check(card: Card, to: Format, precision: ExportPrecision, out: Path) -> None:
    """Check that `card` can be exported so, before the work begins.

    Raises:
        UsageError: the format lacks this precision, its library is not installed, or the name has another suffix.
        EngineError: the network takes depth.
    """
    require_rgb(card)
    if out.suffix != SUFFIXES[to]:
        raise UsageError(f"--out is {out.name}", f"a file of {to} ends in {SUFFIXES[to]}")
    if precision == "int8" and to != "openvino":
        raise UsageError(f"{to} is not exported in int8", "use --precision fp32 or fp16, or --to openvino")
    if precision == "int8" and not card.int8_maxima:
        raise UsageError(f"{card.name} has no int8 ranges on its card", "use --precision fp32 or fp16")
    if to == "onnx":
        try:
            import onnx  # noqa: F401
            import onnxruntime  # noqa: F401
            import onnxscript  # noqa: F401
        except ImportError as error:
            raise UsageError(
                f"ONNX needs a package that is not installed ({error.name})", "pip install 'segnet-live[onnx]'"
            ) from error


def export(
    card: Card, to: Format, out: Path, size: Size | None, precision: ExportPrecision, say: Callable[[str], None]
) -> Exported:
    """Write `card`'s network at `out`, run the file on the app's reference frames, and compare.

    Args:
        size: (height, width) of the network; None takes the card's.
        say: takes a line on what happens.

    Raises:
        UsageError: see `check`. OutputError: `out` cannot be written.
        EngineError: the file does not run, or disagrees with PyTorch; it is not kept then.
    """
    check(card, to, precision, out)
    size = size or card.input_size
    frames = [np.ascontiguousarray(fit_input(frame, size)) for frame in reference_frames()]
    say(f"{card.name} to {to} {precision} at {size[0]}x{size[1]}")
    truth = _eager(card, frames)
    facts = metadata(card, size, precision)
    with scratch_folder() as folder:
        scratch = folder / f"model{SUFFIXES[to]}"
        try:
            _WRITERS[to](card, scratch, size, precision, facts)
        except OSError as error:
            raise OutputError(f"{scratch} cannot be written ({first_line(error)})", "free disk space") from error
        say("running what was written")
        try:
            labels, runtime = _RUNNERS[to](scratch, frames)
        except (RuntimeError, ValueError) as error:
            raise EngineError(f"the {to} file does not run ({first_line(error)}); it is not kept") from error
        agreement = float(np.mean([np.mean(a == b) for a, b in zip(truth, labels, strict=True)]))
        if agreement < MINIMUM[precision]:
            raise EngineError(
                f"the {to} file labels {agreement:.2%} of the pixels as PyTorch does, {MINIMUM[precision]:.2%} are "
                "needed; it is not kept",
                "try another --precision",
            )
        made = sorted(Path(folder).glob("model.*"), key=lambda path: path.suffix == SUFFIXES[to])
        paths = []
        for path in made:  # the file to open comes last, and so never without what it needs
            target = out.with_suffix(path.suffix)
            with replace_atomically(target, advice="pass another --out") as beside:
                beside.write_bytes(path.read_bytes())
            paths.append(target)
    return Exported(tuple(reversed(paths)), agreement, len(frames), runtime, size, precision)


def _deployed(card: Card, precision: ExportPrecision, ids: torch.dtype = torch.uint8) -> Deploy:
    network = load_network(card)
    dtype = torch.float16 if precision == "fp16" else torch.float32
    return Deploy(network, card.mean, card.std, pooling=form_for(network, "openvino"), dtype=dtype, ids=ids)


def _eager(card: Card, frames: Sequence[RGB]) -> list[LabelMap]:
    deploy = _deployed(card, "fp32")
    with torch.inference_mode():
        return [deploy(torch.from_numpy(frame)[None])[0].numpy() for frame in frames]


def _program(deploy: Deploy, size: Size) -> torch.export.ExportedProgram:
    example = torch.zeros((1, *size, 3), dtype=torch.uint8)
    with exporting(), torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.export 2.13 warns of its own deprecated internals
        return torch.export.export(deploy, (example,), strict=False)


def _write_pt2(card: Card, path: Path, size: Size, precision: ExportPrecision, facts: dict[str, str]) -> None:
    program = _program(_deployed(card, precision), size)
    torch.export.save(program, path, extra_files={"metadata.json": json.dumps(facts, indent=1)})


def _run_pt2(path: Path, frames: Sequence[RGB]) -> tuple[list[LabelMap], str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.export.load(path).module()
    with torch.inference_mode():
        labels = [module(torch.from_numpy(frame)[None])[0].numpy() for frame in frames]
    return labels, f"PyTorch {torch.__version__}"


def _write_openvino(card: Card, path: Path, size: Size, precision: ExportPrecision, facts: dict[str, str]) -> None:
    from segnet_live.engine.int8 import quantise
    from segnet_live.engine.quiet_openvino import convert_model, ov

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = convert_model(_program(_deployed(card, "fp32"), size))
    model.inputs[0].get_tensor().set_names({INPUT})
    model.outputs[0].get_tensor().set_names({OUTPUT})
    if precision == "int8":
        quantise(model, card.int8_maxima)
    for key, value in facts.items():
        model.set_rt_info(value, ["segnet-live", key])
    ov.save_model(model, path, compress_to_fp16=precision == "fp16")


def _run_openvino(path: Path, frames: Sequence[RGB]) -> tuple[list[LabelMap], str]:
    from segnet_live.engine.openvino import core
    from segnet_live.engine.quiet_openvino import ov

    # its own accuracy, not that of bf16, which the CPU plugin would take where it can
    compiled = core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    labels = [np.array(request.infer([frame[None]])[0][0], np.uint8) for frame in frames]
    return labels, f"OpenVINO {ov.__version__.partition('-')[0]}"


def _write_onnx(card: Card, path: Path, size: Size, precision: ExportPrecision, facts: dict[str, str]) -> None:
    import onnx

    program = _program(_deployed(card, precision), size)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns that torchvision, which nobody needs, is missing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names: dict[str, Any] = {"input_names": [INPUT], "output_names": [OUTPUT]}
        made: Any = torch.onnx.export(program, (), dynamo=True, opset_version=ONNX_OPSET, verbose=False, **names)
    model = made.model_proto
    onnx.helper.set_model_props(model, facts)
    model.producer_name, model.producer_version = "segnet-live", __version__
    onnx.checker.check_model(model)
    onnx.save_model(model, path)


def _run_onnx(path: Path, frames: Sequence[RGB]) -> tuple[list[LabelMap], str]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs: list[NDArray[Any]] = [session.run([OUTPUT], {INPUT: frame[None]})[0] for frame in frames]
    return [np.array(output[0], np.uint8) for output in outputs], f"ONNX Runtime {onnxruntime.__version__}"


_WRITERS: dict[Format, Callable[[Card, Path, Size, ExportPrecision, dict[str, str]], None]] = {
    "onnx": _write_onnx,
    "openvino": _write_openvino,
    "pt2": _write_pt2,
}
_RUNNERS: dict[Format, Callable[[Path, Sequence[RGB]], tuple[list[LabelMap], str]]] = {
    "onnx": _run_onnx,
    "openvino": _run_openvino,
    "pt2": _run_pt2,
}

"""Lay out the study as arXiv:1511.00561, Table 1: our figures, the paper's beside them."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from segnet_live.bench.machine import NoiseMeter, describe_machine
from segnet_live.bench.measure import interleaved
from segnet_live.bench.memory import engine_memory, in_own_process
from segnet_live.bench.network import parameters
from segnet_live.bench.tables import Table
from segnet_live.card import Card
from segnet_live.config import format_size
from segnet_live.engine.parity import reference_frames
from segnet_live.engine.resize import fit_input
from segnet_live.learning.data import LabelledSet
from segnet_live.learning.evaluate import write_json
from segnet_live.learning.model_folder import scratch_folder
from segnet_live.nets.networks import NETWORKS, TABLE_1
from train.card_fields import INPUT_SIZE
from train.checkpoint import read_checkpoint
from train.config import Balancing
from train.measure import Through
from train.package import as_model
from train.study import StudyRun

MEASURES = ("G", "C", "mIoU", "BF")
PAPER: dict[str, dict[Balancing, tuple[float, float, float, float]]] = {
    "bilinear-interpolation": {"median": (77.9, 61.1, 43.3, 20.83), "natural": (82.7, 52.5, 43.8, 23.08)},
    "segnet-basic": {"median": (82.7, 62.0, 47.7, 35.78), "natural": (84.0, 54.6, 46.3, 36.67)},
    "segnet-basic-encoder-addition": {"median": (83.4, 63.6, 48.5, 35.92), "natural": (84.2, 56.5, 47.7, 36.27)},
    "segnet-basic-single-channel-decoder": {"median": (81.2, 60.7, 46.1, 31.62), "natural": (83.5, 53.9, 45.2, 32.45)},
    "fcn-basic": {"median": (81.7, 62.4, 47.3, 38.11), "natural": (83.9, 55.6, 45.0, 37.33)},
    "fcn-basic-no-addition": {"median": (80.5, 58.6, 44.1, 31.96), "natural": (82.3, 53.9, 44.2, 29.43)},
    "fcn-basic-no-dim-reduction": {"median": (84.1, 63.4, 50.1, 37.37), "natural": (83.5, 57.3, 47.0, 37.13)},
    "fcn-basic-no-addition-no-dim-reduction": {
        "median": (80.5, 61.6, 45.9, 30.47),
        "natural": (83.7, 54.8, 45.5, 33.17),
    },
}
"""Table 1's G, C, mIoU and BF in per cent, on CamVid test at 360x480."""
CALLS = 50
SECONDS = 10.0


def measure_costs(runs: Sequence[StudyRun], labelled: LabelledSet, out: Path) -> dict[str, Any]:
    """Return time and memory of the variants that are complete, timed in turns through the app's default engine.

    What was measured before in `out` is kept, as long as it has every variant.
    """
    done = {run.model: run for run in runs if run.figures is not None}
    path = out / "costs.json"
    if path.is_file():
        before: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if done.keys() <= before["variants"].keys():
            return before
    if not done:
        return {"variants": {}}
    with scratch_folder(out) as scratch, ExitStack() as opened:
        cards: dict[str, Card] = {
            model: as_model(read_checkpoint(run.folder / "best.pt"), labelled, Path(scratch) / model)
            for model, run in done.items()
        }
        engines = {model: Through().opened(card, INPUT_SIZE) for model, card in cards.items()}
        for engine in engines.values():
            opened.callback(engine.close)
        rgb = {model: fit_input(reference_frames()[0], engine.info.input_size) for model, engine in engines.items()}
        meter = NoiseMeter()
        timings = interleaved(
            {model: partial(engine.segment, rgb[model]) for model, engine in engines.items()},
            n=CALLS,
            seconds=SECONDS,
            between=meter.sample,
        )
        memory = {
            model: in_own_process(
                engine_memory, cards[model], engine.info.backend, engine.info.input_size, engine.info.precision
            )
            for model, engine in engines.items()
        }
        info = next(iter(engines.values())).info
        costs = {
            "engine": f"{info.backend} {info.precision} at {format_size(info.input_size)}",
            "machine": describe_machine().lines(),
            "noise": meter.read().reasons,
            "variants": {
                model: {"p50_ms": timings[model].p50, "n": timings[model].n, "mib": memory[model].process_mib}
                for model in engines
            },
        }
    write_json(path, costs)
    return costs


def tables(runs: Sequence[StudyRun], costs: dict[str, Any]) -> list[Table]:
    """Return Table 1 in our figures, those of the paper in brackets: what the variants cost, then each balancing."""
    balancings: list[Balancing] = list(dict.fromkeys(run.balancing for run in runs))
    models = list(dict.fromkeys(run.model for run in runs))
    return [_costs_table(models, costs), *(_accuracy_table(models, b, runs) for b in balancings)]


def _costs_table(models: Sequence[str], costs: dict[str, Any]) -> Table:
    rows = []
    for model in models:
        network, paper, measured = NETWORKS[model](11), TABLE_1[model], costs["variants"].get(model)
        storage = "n/a" if paper.storage_multiplier is None else f"{paper.storage_multiplier:g}"
        rows.append(
            (
                model,
                f"{parameters(network) / 1e6:.3f} ({paper.parameters_m:g})",
                f"{network.storage_multiplier:g} ({storage})",
                f"{measured['p50_ms']:.1f} ({paper.inference_ms:g})" if measured else f"- ({paper.inference_ms:g})",
                f"{measured['mib']:.0f}" if measured else "-",
            )
        )
    notes = ["In brackets: the paper's Table 1, whose times are of an NVIDIA Titan at 360x480."]
    if costs["variants"]:
        counts = sorted({str(cost["n"]) for cost in costs["variants"].values()})
        notes.append(
            f"Inference: p50 of {', '.join(counts)} calls in turns, {costs['engine']}. Memory: of the process."
        )
        notes += [*costs["machine"], *costs["noise"]]
    columns = ("variant", "parameters M", "storage multiplier", "inference ms", "memory MiB")
    return Table("What the variants cost", columns, tuple(rows), tuple(notes))


def _accuracy_table(models: Sequence[str], balancing: Balancing, runs: Sequence[StudyRun]) -> Table:
    rows, steps = [], set()
    for model in models:
        measured = [r.figures for r in runs if (r.model, r.balancing) == (model, balancing)]
        complete = [figures for figures in measured if figures is not None]
        steps |= {figures["step"] for figures in complete}
        cells = []
        for name, paper in zip(MEASURES, PAPER[model][balancing], strict=True):
            cells.append(f"{_mean([100 * figures[name] for figures in complete])} ({paper:g})")
        rows.append((model, f"{len(complete)} of {len(measured)}", *cells))
    notes = (
        "In per cent, on CamVid val by the app's default engine; in brackets the paper's Table 1, on CamVid test. Val "
        "chose the checkpoint, too. With more seeds than one: mean and half the range.",
        f"Steps of the measured checkpoints: {', '.join(map(str, sorted(steps))) or '-'}.",
    )
    return Table(f"{balancing} frequency balancing".capitalize(), ("variant", "runs", *MEASURES), tuple(rows), notes)


def _mean(values: Sequence[float]) -> str:
    if not values:
        return "-"
    spread = f" ±{(max(values) - min(values)) / 2:.1f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.1f}{spread}"

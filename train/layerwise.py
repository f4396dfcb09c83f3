"""Train the first SegNet as its paper does (arXiv:1505.07293): pair by pair with L-BFGS, the soft-max last.

Stage s trains the s-th encoder-decoder pair from outside, with the classifier above it; the pairs around it stay as
they are, and deeper ones are not there yet. The last stage trains the classifier alone on the whole network. Each
mini-batch is minimised for some iterations; its curvature says nothing of the next one's, so L-BFGS begins anew there,
and a run that was stopped goes on at its next mini-batch exactly as an unbroken one.

The paper names neither the size of a mini-batch nor the number of iterations; both are options.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from segnet_live.errors import UsageError
from segnet_live.learning.data import LabelledSet, class_frequencies, median_frequency_weights
from segnet_live.learning.depth import normalised
from segnet_live.learning.losses import balanced_cross_entropy
from segnet_live.nets.first_segnet import FirstSegNet
from train.batches import BatchSampler
from train.card_fields import shown_command
from train.checkpoint import current_commit, load, save
from train.config import FitConfig, recipe, require_same
from train.fit import DivergedError
from train.initialise import Images, normalised_for, starting_network
from train.interrupt import StopRequest

MODEL = "segnet-2015"
SAVE_EVERY_S = 120.0


def stages(network: FirstSegNet) -> list[tuple[FirstSegNet, list[nn.Parameter]]]:
    """Return for each stage the network as far as it is there, and what it trains; weights are `network`'s own."""
    found = []
    for count, pair in enumerate(network.pairs(), 1):
        learning = [*(p for part in pair for p in part.parameters()), *network.classifier.parameters()]
        found.append((_outermost(network, count), learning))
    return [*found, (network, list(network.classifier.parameters()))]


def _outermost(network: FirstSegNet, pairs: int) -> FirstSegNet:
    """Return `network` with its outermost pairs only, which keep their weights in common with it."""
    part = copy.copy(network)
    part._modules = dict(network._modules)
    part.encoders = nn.ModuleList(list(network.encoders)[:pairs])
    part.decoders = nn.ModuleList(list(network.decoders)[-pairs:])
    return part


class LayerwiseRun:
    """One run on the CPU or the first GPU; `run` takes it to its end or to a stop.

    Raises:
        UsageError: the folder holds a run with other settings. DataError: its checkpoint is damaged.
    """

    def __init__(self, args: argparse.Namespace, labelled: LabelledSet, images: Images) -> None:
        for name in ("steps", "iterations", "batch"):
            if getattr(args, name) < 1:
                raise UsageError(f"--{name} got {getattr(args, name)}", "it must be above 0")
        base = recipe("release", MODEL)
        config = replace(
            base, arguments={"inputs": 4} if args.depth else {},
            set=labelled.name, batch=args.batch, crop=args.crop, zoom=args.zoom, seed=args.seed,
            mean=labelled.mean, std=labelled.std, weight_power=1.0, boundary=0.0, precision="fp32", ema_decay=0.0,
        )  # fmt: skip
        self.config: FitConfig = normalised_for(config, images.train)
        self.about: dict[str, Any] = {
            "command": shown_command(args.command_line),
            "commit": current_commit(),
            "data": images.about,
            "seen": images.seen.as_json(names=True),
            "layerwise": {"steps": args.steps, "iterations": args.iterations, "optimiser": "L-BFGS"},
        }
        self._args, self._void_id = args, labelled.classes.void_id
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network = starting_network(self.config, labelled, "", "")
        assert isinstance(network, FirstSegNet)
        self.network = network.to(device)
        self._sampler = BatchSampler(images.train, labelled, self.config, device)
        frequencies = class_frequencies(images.train, labelled.classes)
        self.about["class_frequencies"] = frequencies.tolist()
        self._weight = torch.tensor(median_frequency_weights(frequencies), dtype=torch.float32, device=device)
        self._mean = torch.tensor(self.config.mean, device=device).view(1, -1, 1, 1)
        self._deviation = torch.tensor(self.config.std, device=device).view(1, -1, 1, 1)
        self.step = 0
        self.losses: list[float] = []  # of each mini-batch so far, after its last iteration
        self._path = args.out / "last.pt"
        if self._path.exists():
            state = load(self._path, device)
            require_same(state.get("config"), self.config, self._path)
            self._require_same_pace(state["run"].get("layerwise"))
            self.network.load_state_dict(state["average"])
            self.step, self.losses = state["step"], state["losses"]

    def _require_same_pace(self, stored: dict[str, Any] | None) -> None:
        wanted = self.about["layerwise"]
        if stored != wanted:
            raise UsageError(f"{self._path} was trained with {stored}, not {wanted}", "pass the same, or another --out")

    def run(self) -> bool:
        """Train; return True once the run is complete, False if this call's time was up first.

        Raises:
            DivergedError: the loss is no longer a number; `last.pt` is from before.
            KeyboardInterrupt: a stop was asked for; `last.pt` is from the last whole mini-batch.
        """
        began_s = saved_s = time.monotonic()
        every = stages(self.network)
        total = len(every) * self._args.steps
        with StopRequest() as stop:
            while self.step < total:
                now_s = time.monotonic()
                up = bool(self._args.stop_after) and now_s - began_s > 60 * self._args.stop_after
                if stop.asked or up:
                    self._save()
                    if stop.asked:
                        raise KeyboardInterrupt
                    return False
                number = self.step // self._args.steps
                loss = self._minimise(*every[number])
                self.losses.append(loss)
                self.step += 1
                if self.step % self._args.steps == 0:
                    what = f"pair {number + 1}" if number < len(every) - 1 else "soft-max"
                    recent = self.losses[-min(20, self._args.steps) :]
                    print(f"{what}: loss {sum(recent) / len(recent):.4f}", flush=True)
                if time.monotonic() - saved_s > SAVE_EVERY_S or self.step % self._args.steps == 0:
                    self._save()
                    saved_s = time.monotonic()
        return True

    def _minimise(self, network: FirstSegNet, learning: Sequence[nn.Parameter]) -> float:
        """Minimise the loss of the next mini-batch over `learning`; return what it is then."""
        batch = self._sampler.batch(self.step, self.config.photometric)
        x = normalised(batch.rgb, self._mean, self._deviation)
        self.network.requires_grad_(False)
        for parameter in learning:
            parameter.requires_grad_(True)
        optimiser = torch.optim.LBFGS(
            learning, max_iter=self._args.iterations, history_size=10, line_search_fn="strong_wolfe"
        )

        def loss() -> Tensor:
            total, weight = balanced_cross_entropy(network(x), batch.labels, self._weight, self._void_id)
            return total / weight.clamp(min=1e-6)

        def closure() -> float:
            optimiser.zero_grad()
            value = loss()
            value.backward()  # type: ignore[no-untyped-call]
            return float(value.detach())

        optimiser.step(closure)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            value = float(loss())
        if not math.isfinite(value):
            raise DivergedError(f"the loss is {value} at mini-batch {self.step}", f"start again from {self._path}")
        return value

    def _save(self) -> None:
        """Write `last.pt`, which `evaluate` and `package` read.

        Raises:
            OutputError: it cannot be written; what was there stays whole.
        """
        state = {
            "average": self.network.state_dict(),
            "config": self.config.as_json(),
            "run": self.about,
            "epoch": self.step / self._sampler.steps_per_epoch,
            "step": self.step,
            "losses": self.losses,
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        save(self._path, state)

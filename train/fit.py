"""Run the training loop. A run stopped anywhere goes on from its last checkpoint as if it had not been stopped."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

from segnet_live.errors import OutputError, SegnetLiveError, first_line
from segnet_live.frame import LabelMap
from segnet_live.labels import labels_at
from segnet_live.learning.averaging import recompute_batch_norm, update_ema
from segnet_live.learning.data import LabelledSet, Sample, class_frequencies, median_frequency_weights, size_at
from segnet_live.learning.depth import network_input, normalised
from segnet_live.learning.evaluate import Evaluation, comparison, evaluate, write_json, write_picture
from segnet_live.learning.losses import balanced_cross_entropy, distillation, lovasz_softmax, soft_cross_entropy
from segnet_live.nets.pooling import form_for
from segnet_live.nets.segnet import Network
from segnet_live.system.allocator import keep_freed_memory
from train.auxiliary import AuxiliaryHead
from train.batches import Batch, BatchSampler
from train.checkpoint import load, save
from train.config import FitConfig, require_same
from train.dilated_init import DilatedConv2d
from train.distributed import Processes
from train.interrupt import StopRequest
from train.opinions import Opinions
from train.pictures import Picture
from train.plots import HINT, Row, can_plot, write_curves
from train.schedule import learning_rate, make_optimiser, photometric_strength

CHECK_EVERY = 20
"""Steps between checks of the loss: each check waits for the device."""
LINE_EVERY_S = 30
"""Where the output is no terminal, seconds between lines; evaluations always have theirs."""
COUNTERS = ("step", "seconds", "evaluations", "best", "loss_steps", "dilated")


class DivergedError(SegnetLiveError):
    """Raised when the loss or a weight is no longer a number."""


@dataclass(frozen=True, slots=True)
class Session:
    """The choices that may differ from call to call without changing a run's result.

    Attributes:
        out: folder of checkpoints, curves and samples.
        about: what the card will say: command, commit, data.
        compiled: compile the network; pays on a GPU from some minutes on.
        checkpoint_s: seconds between checkpoints within an epoch.
        stop_after_s: end this call after so many seconds, to go on with the next; 0 never.
    """

    out: Path
    about: dict[str, Any]
    compiled: bool = False
    checkpoint_s: float = 300.0
    stop_after_s: float = 0.0


class Run:
    """One training run, on this process's device; `run` takes it to its end or to a stop."""

    def __init__(
        self,
        config: FitConfig,
        labelled: LabelledSet,
        train: Sequence[Sample],
        val: Sequence[Sample],
        network: Network,
        processes: Processes,
        session: Session,
        teacher: Network | None = None,
        pictures: Sequence[Picture] = (),
        opinions: Opinions | None = None,
    ) -> None:
        self.config, self.labelled, self.val = config, labelled, val
        self.processes, self.session = processes, session
        device = processes.device
        keep_freed_memory()
        if device.type == "cuda":
            torch.backends.cudnn.benchmark = True
            torch.set_float32_matmul_precision("high")
        self.network = self._placed(network)
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.teacher = None if teacher is None else self._placed(teacher).eval().requires_grad_(False)
        self.auxiliary = AuxiliaryHead(self.network, len(labelled.classes)) if config.auxiliary else None
        self.trained = processes.wrapped(self.network)
        learning = [self.network] if self.auxiliary is None else [self.network, self.auxiliary]
        self.optimiser = make_optimiser(nn.ModuleList(learning), config)
        self.sampler = BatchSampler(
            train, labelled, config, device, processes.rank, processes.world, pictures, opinions
        )
        self.frequencies = class_frequencies(train, labelled.classes)
        weights = median_frequency_weights(self.frequencies, config.weight_power)
        self.class_weight = torch.tensor(weights, dtype=torch.float32, device=device)
        self.mean = torch.tensor(config.mean, device=device).view(1, -1, 1, 1)
        self.deviation = torch.tensor(config.std, device=device).view(1, -1, 1, 1)
        self.step, self.seconds, self.evaluations, self.best = 0, 0.0, 0, 0.0
        self.dilated = bool(config.dilated_init)  # whether 7x7 kernels still are
        self.history: list[Row] = []
        self.loss_sum, self.loss_steps = torch.zeros((), device=device), 0
        self.console = Console(quiet=processes.rank > 0)
        if not can_plot():
            self.console.print(HINT, highlight=False, markup=False)
        self._resume()
        self._compiles = session.compiled  # in the next step
        if session.compiled:
            self.trained = torch.compile(self.trained)  # type: ignore[assignment]

    def _placed(self, network: Network) -> Network:
        """Move `network` to the device, channels last, with the pooling form that suits it there."""
        network.pooling = form_for(network, "cuda" if self.processes.device.type == "cuda" else "cpu")
        network.to(self.processes.device)
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    @property
    def progress(self) -> float:
        """Return the share 0..1 of the run that is done, by time if the settings say minutes, else by steps."""
        if self.config.minutes:
            return min(self.seconds / (60 * self.config.minutes), 1.0)
        return min(self.step / (self.config.epochs * self.sampler.steps_per_epoch), 1.0)

    def run(self) -> bool:
        """Train; return True once the run is complete, False if this call's time was up first.

        Raises:
            DivergedError: the loss or a weight is NaN or infinite; `last.pt` is from before.
            KeyboardInterrupt: a stop was asked for; `last.pt` is from the last whole step.
            OutputError: a file cannot be written; what was there stays whole.
        """
        began = self._saved = self._shown = self._epoch_began = time.monotonic()
        before, compiling_s = self.seconds, 0.0
        earlier_steps = self.loss_steps  # of this epoch, in an earlier call
        bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console, disable=not self.console.is_terminal,
        )  # fmt: skip
        task = bar.add_task("training", total=1.0)
        bar.update(task, completed=self.progress)
        with StopRequest() as stop, bar:
            while self.progress < 1:
                elapsed = time.monotonic() - began
                up = bool(self.session.stop_after_s) and elapsed > self.session.stop_after_s
                self.seconds, up, asked = self.processes.sync_clock(before + elapsed - compiling_s, up, stop.asked)
                if asked or up:
                    self._checkpoint()
                    if asked:
                        raise KeyboardInterrupt
                    return False
                step_began = time.monotonic()
                self._one_step()
                if self._compiles:  # which is no part of the schedule
                    self._compiles = False
                    compiling_s += time.monotonic() - step_began
                if self.step % CHECK_EVERY == 0:
                    self._check_loss()
                    bar.update(task, completed=self.progress)
                if self.step % self.sampler.steps_per_epoch == 0 or self.progress >= 1:
                    self._end_epoch(earlier_steps)
                    earlier_steps = 0
                    bar.update(task, completed=self.progress, description=self._line(self.history[-1]))
                if time.monotonic() - self._saved > self.session.checkpoint_s:
                    self._checkpoint()
        return True

    def _one_step(self) -> None:
        config, device = self.config, self.processes.device
        if self.dilated and self.progress >= config.dilated_init:
            self.dilated = False
            self._use_all_taps()
            self.optimiser.state.clear()  # the other taps have no moments yet
        progress = self.progress if config.minutes else self._progress_after(self.step + 1)
        rate = learning_rate(config, progress)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        batch = self.sampler.batch(self.step, photometric_strength(config, progress))
        labels, x = batch.labels, self._normalised(batch.rgb)
        torch.manual_seed(config.seed * 1_000_003 + self.step)  # dropout, the same after a resumption
        self.network.train()
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            logits = self.trained(x)
            taught = None if self.teacher is None else self.teacher(x)
            deep = None if self.auxiliary is None else self.auxiliary()
        loss = self._label_loss(logits, batch, config.boundary)
        if deep is not None:
            loss = loss + config.auxiliary * self._label_loss(deep, batch.reduced_to(deep.shape[2], deep.shape[3]), 0.0)
        if config.lovasz:
            void_id, count = self.labelled.classes.void_id, batch.labelled
            loss = loss + config.lovasz * lovasz_softmax(logits[:count], labels[:count], void_id)
        if taught is not None:
            loss = loss + config.distil * distillation(logits, taught)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.auxiliary is not None:  # which DistributedDataParallel does not know
            self.processes.average_gradients(self.auxiliary)
        self.optimiser.step()
        self.step += 1
        update_ema(self.average, self.network, min(config.ema_decay, (1 + self.step) / (10 + self.step)))
        self.loss_sum += loss.detach()
        self.loss_steps += 1

    def _label_loss(self, logits: Tensor, batch: Batch, boundary: float) -> Tensor:
        """Return the loss of `logits` against the labels and the teachers' opinions."""
        config, world = self.config, self.processes.world
        count, void_id = batch.labelled, self.labelled.classes.void_id
        # split once: each slice of the logits would have a gradient of the whole's size
        parts = torch.split(logits, [count, len(logits) - count])
        total, weight = balanced_cross_entropy(parts[0], batch.labels[:count], self.class_weight, void_id, boundary)
        # every process divides by the same mean weight, so that their averaged gradients are the whole batch's
        loss = total * world / self.processes.all_reduce_sum(weight.detach().clone()).clamp(min=1e-6)
        if batch.soft is not None:
            opinions = (batch.soft[:count], batch.soft[count:])
            for part, opinion, strength in zip(parts, opinions, (config.soft_labelled, config.soft), strict=True):
                if strength and len(part):
                    loss = loss + strength * soft_cross_entropy(part, opinion, self.class_weight)
        return loss

    def _use_all_taps(self) -> None:
        """Switch dilated kernels to all their taps."""
        for conv in (*self.network.modules(), *self.average.modules()):
            if isinstance(conv, DilatedConv2d):
                conv.dilated = False
        self._compiles = self.session.compiled

    def _progress_after(self, steps: int) -> float:
        return min(steps / (self.config.epochs * self.sampler.steps_per_epoch), 1.0)

    def _normalised(self, rgb: Tensor) -> Tensor:
        return normalised(rgb, self.mean, self.deviation).contiguous(memory_format=torch.channels_last)

    def _check_loss(self) -> float:
        """Return the mean loss of the epoch so far; waits for the device.

        Raises:
            DivergedError: it is not finite.
        """
        loss = float(self.loss_sum) / max(self.loss_steps, 1)
        if not math.isfinite(loss):
            epoch = self.step / self.sampler.steps_per_epoch
            raise DivergedError(
                f"the loss is {loss} at epoch {epoch:.1f}, step {self.step}",
                f"the last good state is in {self.session.out / 'last.pt'}: lower --lr, with that file as --init and "
                "another --out",
            )
        return loss

    def _end_epoch(self, earlier_steps: int) -> None:
        loss = self._check_loss()
        images = (self.loss_steps - earlier_steps) * self.config.batch * self.processes.world
        row: Row = {
            "epoch": self.step / self.sampler.steps_per_epoch,
            "step": self.step,
            "minutes": self.seconds / 60,
            "loss": loss,
            "lr": self.optimiser.param_groups[0]["lr"],
            "images_per_s": images / (time.monotonic() - self._epoch_began),
        }
        busy = self.processes.device_busy()
        if busy is not None:
            row["device_busy"] = busy
        self.loss_sum.zero_()
        self.loss_steps = 0
        self.history.append(row)
        due = int(self.progress * self.config.evaluations)
        if due > self.evaluations:
            self.evaluations = due
            if self.processes.rank == 0:
                better = self._evaluate(row)
                self._checkpoint()
                if better:
                    self._save("best.pt", self._portable())
        now = time.monotonic()
        if "mIoU" in row or (not self.console.is_terminal and now - self._shown > LINE_EVERY_S):
            self.console.print(self._line(row), highlight=False)
            self._shown = now
        self._epoch_began = now

    def _evaluate(self, row: Row) -> bool:
        """Add G, C and mIoU of the averaged network to `row`; return True if it is the best so far."""
        if not self.config.ema_decay:
            recompute_batch_norm(self.average, map(self._normalised, self.sampler.whole()))
        result: Evaluation = evaluate(self._segment_sample, self.val, self.labelled.classes, bf=False)
        row |= {"G": result.global_accuracy, "C": result.class_accuracy, "mIoU": result.miou}
        shown = self.val[:: max(1, len(self.val) // 4)][:4]
        rows = [comparison(sample, self._segment_sample(sample), self.labelled.classes) for sample in shown]
        if len({r.shape for r in rows}) == 1:
            write_picture(self.session.out / "samples" / f"epoch-{int(row['epoch']):05d}.png", np.concatenate(rows))
        if self.config.train_on_val or row[self.config.select] <= self.best:
            return False
        self.best = row[self.config.select]
        return True

    def segment(self, rgb: NDArray[np.uint8]) -> LabelMap:
        """Return (H, W) uint8 class ids of (H, W, 3) uint8 RGB, by the averaged network at the recipe's zoom."""
        return self._segment_sample(Sample("", rgb, np.zeros(rgb.shape[:2], np.uint8)))

    @torch.no_grad()
    def _segment_sample(self, sample: Sample) -> LabelMap:
        device = self.processes.device
        source = (sample.rgb.shape[0], sample.rgb.shape[1])
        x = network_input(sample, size_at(source, self.config.zoom), self.mean, self.deviation)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            ids = self.average.label_ids(x.contiguous(memory_format=torch.channels_last))
        labels: LabelMap = ids[0].to("cpu", torch.uint8).numpy()
        return labels_at(labels, source)

    def _line(self, row: Row) -> str:
        measured = "".join(f"  {name} {row[name]:.4f}" for name in ("G", "C", "mIoU") if name in row)
        return f"epoch {row['epoch']:g}  loss {row['loss']:.4f}  {row['images_per_s']:.1f} images/s{measured}"

    def _portable(self) -> dict[str, Any]:
        """Return what `package`, `--init` and `--teacher` read: the averaged weights and what is known of them."""
        return {
            "average": self.average.state_dict(),
            "config": self.config.as_json(),
            "run": self.session.about | {"minutes": self.seconds / 60, "class_frequencies": self.frequencies.tolist()},
            "epoch": self.step / self.sampler.steps_per_epoch,
            "step": self.step,
        }

    def _checkpoint(self) -> None:
        """Write `last.pt` with the whole state, and the curves."""
        state = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "history": self.history,
            "loss_sum": self.loss_sum,
        }
        if self.auxiliary is not None:
            state["auxiliary"] = self.auxiliary.state_dict()
        self._save("last.pt", self._portable() | state | {key: getattr(self, key) for key in COUNTERS})
        if self.processes.rank == 0:
            write_curves(self.session.out, self.history)
        self._saved = time.monotonic()

    def _save(self, name: str, state: dict[str, Any]) -> None:
        """Write `state` to `out/name`, on rank 0.

        Raises:
            DivergedError: a weight is not finite; nothing is written.
            OutputError: it cannot be written.
        """
        if self.processes.rank:
            return
        self._check_loss()
        if not all(bool(p.isfinite().all()) for p in self.network.parameters()):
            raise DivergedError(
                f"a weight is NaN or infinite at step {self.step}", "lower --lr and start again from last.pt"
            )
        save(self.session.out / name, state)

    def _resume(self) -> None:
        """Resume from `last.pt` where there is one, else write the settings and begin.

        Raises:
            UsageError: it is of another run. DataError: it is damaged. OutputError: the folder cannot be written.
        """
        out = self.session.out
        path = out / "last.pt"
        if path.exists():
            state = load(path, self.processes.device)
            require_same(state.get("config"), self.config, path)
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            if self.auxiliary is not None:
                self.auxiliary.load_state_dict(state["auxiliary"])
            self.history = state["history"]
            self.loss_sum = state["loss_sum"]
            for key in COUNTERS:
                setattr(self, key, state[key])
            if not self.dilated:
                self._use_all_taps()
            self.console.print(f"going on from epoch {state['epoch']:g} of {path}", highlight=False)
        if self.processes.rank == 0:
            try:
                out.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"{out} cannot be made ({first_line(error)})", "pass another --out") from error
            write_json(out / "config.json", self.config.as_json())

"""Train a network a little further, on few images, without losing what it knew.

Four things hold it near the old weights. Batch norm keeps its statistics, of which twenty frames know little, and its
scales. Half of each batch are old roads, on which the network is taught by its own old self (Li and Hoiem, Learning
without Forgetting, arXiv:1606.09282) and by their labels. On the drafts its old self teaches it where it was right
already (Yan et al., arXiv:2011.09161), so that only what was wrong moves the weights. And the result is a mean of the
old weights and the new ones (Wortsman et al., arXiv:2109.01903), which forgets less than it loses.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from segnet_live.classes import ClassSet
from segnet_live.engine.openvino import computes_in_bf16
from segnet_live.errors import SegnetLiveError
from segnet_live.frame import Size
from segnet_live.learning.augment import sample_params
from segnet_live.learning.data import Sample, class_frequencies, median_frequency_weights
from segnet_live.learning.losses import balanced_cross_entropy, distillation
from segnet_live.learning.pool import USUAL_PIXELS, Pool
from segnet_live.nets.pooling import form_for
from segnet_live.nets.segnet import Network
from segnet_live.system.allocator import keep_freed_memory

Progress = Callable[[float], None]
"""Takes the share 0..1 that is done."""

CHECK_EVERY = 20
"""Steps between looks at the loss."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The settings of a fine-tuning.

    Attributes:
        steps: at most; the rate falls to zero over them.
        minutes: at most, on this machine: a slow one takes fewer steps.
        batch: crops a step; half of them old roads where there are some.
        crop: (height, width) of a crop.
        lr: the highest rate of AdamW.
        balance: power of median-frequency balancing (1 as in the paper).
        boundary: extra weight of pixels within 2 px of another class.
        hold: weight of what the old network says of old roads.
        keep: weight of what it says of drafts, where it was right or nobody knows.
        photometric: strength of the changes of light and lens, see `augment.sample_params`.
        shares: of the new weights in the result, the old ones have the rest; a smaller one is taken where the larger
            one made it worse.
    """

    steps: int = 120
    minutes: float = 4.0
    batch: int = 8
    crop: Size = (256, 320)
    lr: float = 2e-3
    balance: float = 0.35
    boundary: float = 1.0
    hold: float = 1.0
    keep: float = 1.0
    photometric: float = 0.3
    shares: tuple[float, ...] = (0.65, 0.35, 0.15)
    seed: int = 0


def finetune(
    network: Network,
    mean: Sequence[float],
    std: Sequence[float],
    classes: ClassSet,
    drafts: Sequence[Sample],
    old: Sequence[Sample],
    recipe: Recipe,
    progress: Progress,
) -> tuple[dict[str, Tensor], int]:
    """Train `network`, which is changed, and return its new weights and how many steps it took.

    Args:
        mean, std: per RGB channel, of values 0..1.
        drafts: what to learn; old: what not to forget, may be empty.

    Raises:
        SegnetLiveError: the loss is no longer a number.
    """
    keep_freed_memory()
    device, void_id = torch.device("cpu"), classes.void_id
    network.pooling = form_for(network, "cpu")
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    teacher = copy.deepcopy(network).eval().requires_grad_(False)
    _train_without_batch_norm(network)
    learning = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=recipe.lr, weight_decay=0.0)
    pools = [_pool(drafts, classes, device)] + ([_pool(old, classes, device)] if old else [])
    counts = [recipe.batch - recipe.batch // 2, recipe.batch // 2] if old else [recipe.batch]
    weights = median_frequency_weights(class_frequencies([*drafts, *old], classes), recipe.balance)
    weight = torch.tensor(weights, dtype=torch.float32)
    shift = torch.tensor(mean).view(1, 3, 1, 1)
    scale = torch.tensor(std).view(1, 3, 1, 1)
    bf16 = computes_in_bf16()
    rng = np.random.default_rng(recipe.seed)
    torch.manual_seed(recipe.seed)
    began_s, step, done = time.monotonic(), 0, 0.0
    while done < 1:
        for group in optimiser.param_groups:
            group["lr"] = _rate(recipe.lr, done)
        parts = [_crops(pool, count, rng, recipe, classes, step) for pool, count in zip(pools, counts, strict=True)]
        rgb, labels = (torch.cat([part[i] for part in parts]) for i in (0, 1))
        x = ((rgb - shift) / scale).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = network(x)
        total, mass = balanced_cross_entropy(logits, labels, weight, void_id, recipe.boundary)
        loss = total / mass.clamp(min=1e-6)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            taught = teacher(x)
        new = slice(counts[0])
        right = (taught[new].argmax(1) == labels[new]) | (labels[new] == void_id)
        loss = loss + recipe.keep * distillation(logits[new], taught[new], where=right)
        if old:
            loss = loss + recipe.hold * distillation(logits[counts[0] :], taught[counts[0] :])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(learning, 1.0)
        optimiser.step()
        step += 1
        done = max(step / recipe.steps, (time.monotonic() - began_s) / (60 * recipe.minutes))
        if (step % CHECK_EVERY == 0 or done >= 1) and not math.isfinite(float(loss.detach())):
            raise SegnetLiveError(f"the loss is {float(loss.detach())} after {step} steps", "lower --rate")
        progress(min(done, 1.0))
    return network.state_dict(), step


def mixed(old: dict[str, Tensor], new: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return `old` moved by `share` 0..1 of the way to `new`; counters stay."""
    return {
        name: torch.lerp(tensor, new[name].detach(), share) if tensor.dtype.is_floating_point else tensor
        for name, tensor in old.items()
    }


def _train_without_batch_norm(network: Network) -> None:
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval().requires_grad_(False)


def _rate(highest: float, done: float, warmup: float = 0.05) -> float:
    if done < warmup:
        return highest * max(done / warmup, 0.05)
    return highest * 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))


def _pool(samples: Sequence[Sample], classes: ClassSet, device: torch.device) -> Pool:
    pictures, labels = [s.rgb for s in samples], [s.labels for s in samples]
    return Pool(pictures, labels, None, len(classes), classes.void_id, device)


def _crops(
    pool: Pool, count: int, rng: np.random.Generator, recipe: Recipe, classes: ClassSet, step: int
) -> tuple[Tensor, Tensor]:
    """Return (count, 3, h, w) float32 of values 0..1 and (count, h, w) int64 class ids of random crops."""
    chosen = rng.integers(0, len(pool.sizes), count)
    params = []
    for image in chosen:
        height, width = pool.sizes[image]
        zoom = math.sqrt(USUAL_PIXELS / (height * width))
        params.append(
            sample_params(rng, (height, width), recipe.crop, len(classes), photometric=recipe.photometric, zoom=zoom)
        )
    rgb, labels, _ = pool.crops(chosen, params, recipe.crop, classes.void_id, recipe.seed * 1_000_003 + step)
    return rgb, labels

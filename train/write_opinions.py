"""Write soft labels by our own network, for a round of self-training on them (Xie et al., arXiv:1911.04252).

The mean of several sizes and of the mirrored picture is surer than any one pass, and a student that sees the picture
under strong changes of light must learn it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from segnet_live.card import Card, require_rgb
from segnet_live.engine.resize import fit_input, network_size
from segnet_live.frame import RGB, Size
from segnet_live.learning.data import read_rgb
from segnet_live.learning.seen import seen_by
from segnet_live.nets.load import load_network
from segnet_live.nets.segnet import Network
from train.opinions import write_opinion

ZOOMS = (1.0, 1.4)
"""Sizes of the passes, in multiples of the size that the model runs at."""
LONGEST = 480
"""Opinions are kept at half the picture's size, at most so long."""


def write_opinions(
    card: Card,
    pictures: Iterable[tuple[str, Path]],
    out: Path,
    zooms: Sequence[float] = ZOOMS,
) -> int:
    """Write what the model of `card` thinks of each (name, file) to `out`/name.png; return how many were written.

    Raises:
        DataError: a picture cannot be read. OutputError: `out` cannot be written. EngineError: the network takes depth.
    """
    require_rgb(card)
    network = load_network(card).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    count, seen = 0, seen_by(card.training)
    for name, path in pictures:
        rgb = read_rgb(path)
        shrink = min(0.5, LONGEST / max(rgb.shape[:2]))
        size = (round(rgb.shape[0] * shrink), round(rgb.shape[1] * shrink))
        sizes = [network_size((rgb.shape[0], rgb.shape[1]), round(card.pixels * zoom**2)) for zoom in zooms]
        said = opinion(network, rgb, card.mean, card.std, sizes, size)
        write_opinion(out / f"{name}.png", said, card.classes, seen)
        count += 1
    return count


@torch.inference_mode()
def opinion(
    network: Network,
    rgb: RGB,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    sizes: Sequence[Size],
    size: Size,
) -> NDArray[np.float32]:
    """Return (K, h, w) probabilities at `size`: the mean over passes at `sizes`, each also mirrored."""
    total: torch.Tensor | float = 0.0
    for network_size_ in sizes:
        x = torch.from_numpy(fit_input(rgb, network_size_)).permute(2, 0, 1)[None].float() / 255
        x = (x - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
        for mirrored in (False, True):
            given = (x.flip(3) if mirrored else x).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(given).float()
            shares = (logits.flip(3) if mirrored else logits).softmax(1)
            total = total + F.interpolate(shares, size, mode="bilinear", antialias=True)
    mixed: NDArray[np.float32] = torch.as_tensor(total / (2 * len(sizes)))[0].numpy()
    return mixed

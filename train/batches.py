"""Batches: the whole set lies on the training device, crops are cut and changed there.

Which images and which changes a step sees depends only on (seed, step, place in the batch): a resumed run equals an
unbroken one, and two processes with half the batch see what one with the whole batch sees.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from segnet_live.errors import UsageError
from train.augment import change, draw
from train.config import FitConfig
from train.data import LabelledSet, Sample


class Feed:
    """Training batches of one process.

    Args:
        rank, world: this process among all; a step takes `config.batch` x `world` images, each process its share.

    Raises:
        UsageError: there are fewer images than a step needs, or whole images (no crop) differ in size.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        labelled: LabelledSet,
        config: FitConfig,
        device: torch.device,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self._config, self._classes = config, labelled.classes
        self._rank, self._world = rank, world
        self.steps_per_epoch = len(samples) // (config.batch * world)
        if not self.steps_per_epoch:
            raise UsageError(
                f"{len(samples)} training images cannot fill a batch of {config.batch * world}; lower --batch"
            )
        self._sizes = [(s.labels.shape[0], s.labels.shape[1]) for s in samples]
        height, width = max(s[0] for s in self._sizes), max(s[1] for s in self._sizes)
        if config.crop is None and len(set(self._sizes)) > 1:
            raise UsageError("the images differ in size, so whole ones make no batch; pass --crop HxW")
        rgb = np.zeros((len(samples), height, width, 3), np.uint8)
        labels = np.full((len(samples), height, width), self._classes.void_id, np.uint8)
        for i, (sample, (h, w)) in enumerate(zip(samples, self._sizes, strict=True)):
            rgb[i, :h, :w], labels[i, :h, :w] = sample.rgb, sample.labels
        self._rgb = torch.from_numpy(rgb).permute(0, 3, 1, 2).contiguous().to(device)
        self._labels = torch.from_numpy(labels).to(device)

    def batch(self, step: int, appearance: float = 1.0) -> tuple[Tensor, Tensor]:
        """(N, 3, h, w) float32 of values 0..1 and (N, h, w) int64 class ids of one step, on the device.

        Args:
            appearance: strength of the changes of light and lens.
        """
        config = self._config
        epoch, place = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng((config.seed, epoch)).permutation(len(self._sizes))
        first = (place * self._world + self._rank) * config.batch
        chosen = order[first : first + config.batch]
        index = torch.from_numpy(chosen).to(self._rgb.device, non_blocking=True)
        rgb, labels = self._rgb[index], self._labels[index]
        if config.crop is None:
            return rgb.float() / 255, labels.long()
        draws = [
            draw(
                np.random.default_rng((config.seed, epoch, first + i)),
                self._sizes[image],
                config.crop,
                len(self._classes),
                paste=config.paste,
                appearance=appearance,
                zoom=config.zoom,
            )
            for i, image in enumerate(chosen)
        ]
        noise_seed = (config.seed * 1_000_003 + step) * 1_009 + self._rank
        return change(rgb, labels, draws, config.crop, self._classes.void_id, noise_seed)

    def whole(self) -> Iterator[Tensor]:
        """The training images unchanged, in batches (N, 3, H, W) float32 of values 0..1: for batch-norm statistics."""
        return (part.float() / 255 for part in torch.split(self._rgb, self._config.batch))

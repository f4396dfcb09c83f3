"""Draw batches: all images lie on the training device, crops are cut and changed there.

Which images and which changes a step sees depends only on (seed, step, place in the batch): a resumed run equals an
unbroken one, and two processes with half the batch see what one with the whole batch sees.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from segnet_live.errors import UsageError
from segnet_live.learning.augment import Params, sample_params
from segnet_live.learning.data import LabelledSet, Sample, size_at
from segnet_live.learning.pool import USUAL_PIXELS, Pool
from train.config import FitConfig
from train.focus import PictureDraw, Places, label_places, one_of
from train.opinions import Opinions
from train.pictures import Picture


@dataclass(frozen=True, slots=True)
class Batch:
    """The crops of one step, on the device.

    Attributes:
        rgb: (N, 3, h, w) float32 of values 0..1; the labelled ones first. With depth (N, 4, h, w): metres, 0 unknown.
        labels: (N, h, w) int64 class ids; void throughout for unlabelled pictures.
        soft: (N, K, h/2, w/2) float32 probabilities of the teachers, or None where there are none.
        labelled: how many of the N have labels.
    """

    rgb: Tensor
    labels: Tensor
    soft: Tensor | None
    labelled: int

    def reduced_to(self, height: int, width: int) -> Batch:
        """Return the batch at a smaller size: the label in the middle of each cell and the mean opinion on it."""
        rows, columns = (
            torch.arange(count, device=self.labels.device) * full // count + full // count // 2
            for count, full in zip((height, width), self.labels.shape[1:], strict=True)
        )
        soft = None if self.soft is None else F.adaptive_avg_pool2d(self.soft, (height, width))
        return Batch(self.rgb, self.labels[:, rows[:, None], columns], soft, self.labelled)


class BatchSampler:
    """The training batches of one process.

    Args:
        rank, world: this process among all; a step takes `config.batch` x `world` images, each process its share.
        pictures: unlabelled ones, of which `config.unlabelled` of a batch are drawn.
        opinions: of teachers on the labelled images; None to learn from labels alone.

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
        pictures: Sequence[Picture] = (),
        opinions: Opinions | None = None,
    ) -> None:
        self._config, self._classes = config, labelled.classes
        self._rank, self._world = rank, world
        self._unlabelled = round(config.batch * config.unlabelled) if pictures else 0
        self._labelled = config.batch - self._unlabelled
        self.steps_per_epoch = len(samples) // (self._labelled * world)
        if not self.steps_per_epoch:
            raise UsageError(
                f"{len(samples)} training images cannot fill a batch of {self._labelled * world}", "lower --batch"
            )
        if config.crop is None and len({s.labels.shape for s in samples}) > 1:
            raise UsageError("the images differ in size, so whole ones make no batch", "pass --crop HxW")
        if config.crop is None:
            samples = [s.at(size_at((s.rgb.shape[0], s.rgb.shape[1]), config.zoom)) for s in samples]
        classes, void_id = len(self._classes), self._classes.void_id
        soft = None if opinions is None else [opinions.of(s.name) for s in samples]
        depth = [s.depth for s in samples if s.depth is not None] if config.depth else None
        self._pool = Pool([s.rgb for s in samples], [s.labels for s in samples], soft, classes, void_id, device, depth)
        self._places = [self._kept_places(s) for s in samples] if config.uniform else []
        if self._unlabelled:
            self._pictures = Pool([p.rgb for p in pictures], None, [p.soft for p in pictures], classes, void_id, device)
            self._draw = PictureDraw(pictures, config.uniform, config.seed)

    def batch(self, step: int, photometric: float = 1.0) -> Batch:
        """Return the crops of one step.

        Args:
            photometric: strength of the changes of light and lens.
        """
        config, void_id = self._config, self._classes.void_id
        epoch, place = divmod(step, self.steps_per_epoch)
        order = np.random.default_rng((config.seed, epoch)).permutation(len(self._pool.sizes))
        first = (place * self._world + self._rank) * self._labelled
        chosen = order[first : first + self._labelled]
        if config.crop is None:
            index = torch.from_numpy(chosen).to(self._pool.rgb.device, non_blocking=True)
            return Batch(self._pool.whole(index), self._pool.labels[index].long(), None, len(chosen))
        params = []
        for i, image in enumerate(chosen):
            rng = np.random.default_rng((config.seed, epoch, first + i))
            focus = self._focus(int(image), rng)
            params.append(self._sample_params(rng, self._pool.sizes[image], config.zoom, photometric, focus))
        noise_seed = (config.seed * 1_000_003 + step) * 1_009 + self._rank
        x, y, q = self._pool.crops(chosen, params, config.crop, void_id, noise_seed)
        if not self._unlabelled:
            return Batch(x, y, q, len(chosen))
        which, others = [], []
        for i in range(self._unlabelled):
            rng = np.random.default_rng((config.seed, 1, step, self._rank * self._unlabelled + i))
            picture, focus = self._draw.draw(rng)
            which.append(picture)
            height, width = size = self._pictures.sizes[picture]
            zoom = config.zoom * float(np.sqrt(USUAL_PIXELS / (height * width)))
            others.append(self._sample_params(rng, size, zoom, photometric, focus))
        more = self._pictures.crops(np.array(which), others, config.crop, void_id, noise_seed + 500)
        assert more[2] is not None  # unlabelled pictures have opinions
        if q is None:
            q = torch.zeros((len(x), *more[2].shape[1:]), device=x.device)
        return Batch(torch.cat((x, more[0])), torch.cat((y, more[1])), torch.cat((q, more[2])), len(chosen))

    def _sample_params(
        self,
        rng: np.random.Generator,
        size: tuple[int, int],
        zoom: float,
        photometric: float,
        focus: tuple[float, float] | None,
    ) -> Params:
        config = self._config
        assert config.crop is not None
        return sample_params(
            rng, size, config.crop, len(self._classes), paste=config.paste, photometric=photometric, zoom=zoom,
            focus=focus, night=config.night, snow=config.snow, in_tunnel=config.tunnel,
        )  # fmt: skip

    def _focus(self, image: int, rng: np.random.Generator) -> tuple[float, float] | None:
        """Return a pixel of a class drawn evenly among the image's, with chance `config.uniform`; else None."""
        if not self._places or rng.random() >= self._config.uniform:
            return None
        of_class = list(self._places[image].values())
        return one_of(of_class[int(rng.integers(len(of_class)))], rng) if of_class else None

    def _kept_places(self, sample: Sample) -> Places:
        rng = np.random.default_rng((self._config.seed, len(sample.name)))
        return label_places(sample.labels, len(self._classes), rng)

    def whole(self) -> Iterator[Tensor]:
        """Return the training images uncropped, in batches as `Batch.rgb`."""
        size = self._config.batch
        return (self._pool.whole(slice(i, i + size)) for i in range(0, len(self._pool.sizes), size))

"""Hold images on the training device, and cut random crops from them there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from segnet_live.learning.augment import Params, apply

USUAL_PIXELS = 360 * 480
"""Pictures of other sizes are shown as if they had as many pixels as CamVid's, where the networks run."""

_Number = TypeVar("_Number", np.float32, np.uint8)


def resized(opinion: NDArray[_Number], height: int, width: int) -> NDArray[_Number]:
    """Bring (K, h, w) to (K, height, width), by area where it shrinks."""
    if opinion.shape[1:] == (height, width):
        return opinion
    way = cv2.INTER_AREA if height < opinion.shape[1] else cv2.INTER_LINEAR
    return np.stack([cv2.resize(plane, (width, height), interpolation=way) for plane in opinion]).astype(opinion.dtype)


class Pool:
    """Images of one kind on the training device, padded to one size below and to the right.

    Args:
        rgb: (H, W, 3) uint8 each.
        labels: (H, W) uint8 each; None for unlabelled pictures, which are void throughout.
        soft: (K, h, w) uint8 each, probabilities times 255, or None where nobody has an opinion on a picture.
        depth: (H, W) uint16 millimetres each, 0 where nothing was measured.

    Attributes:
        depth: (N, 1, H, W) float16 metres, whose steps are 4 mm at 8 m and 6 cm at 100 m.
    """

    def __init__(
        self,
        rgb: Sequence[NDArray[np.uint8]],
        labels: Sequence[NDArray[np.uint8]] | None,
        soft: Sequence[NDArray[np.uint8] | None] | None,
        classes: int,
        void_id: int,
        device: torch.device,
        depth: Sequence[NDArray[np.uint16]] | None = None,
    ) -> None:
        self.sizes = [(image.shape[0], image.shape[1]) for image in rgb]
        height, width = (max(size[i] for size in self.sizes) for i in (0, 1))
        if soft is not None:
            height, width = height + height % 2, width + width % 2
        pixels = np.zeros((len(rgb), height, width, 3), np.uint8)
        ids = np.full((len(rgb), height, width), void_id, np.uint8)
        for i, (h, w) in enumerate(self.sizes):
            pixels[i, :h, :w] = rgb[i]
            if labels is not None:
                ids[i, :h, :w] = labels[i]
        self.rgb = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().to(device)
        self.labels = torch.from_numpy(ids).to(device)
        self.soft: Tensor | None = None
        if soft is not None:
            shares = np.zeros((len(rgb), classes, height // 2, width // 2), np.uint8)
            for i, ((h, w), opinion) in enumerate(zip(self.sizes, soft, strict=True)):
                if opinion is not None:
                    shares[i, :, : h // 2, : w // 2] = resized(opinion, h // 2, w // 2)
            self.soft = torch.from_numpy(shares).to(device)
        self.depth: Tensor | None = None
        if depth is not None:
            metres = np.zeros((len(rgb), 1, height, width), np.float16)
            for i, ((h, w), picture) in enumerate(zip(self.sizes, depth, strict=True)):
                metres[i, 0, :h, :w] = picture / np.float32(1000)
            self.depth = torch.from_numpy(metres).to(device)

    def crops(
        self, chosen: NDArray[np.int64], params: Sequence[Params], crop: tuple[int, int], void_id: int, seed: int
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Cut one crop from each of the `chosen` images; see `augment.apply`."""
        index = torch.from_numpy(chosen).to(self.rgb.device, non_blocking=True)
        soft = None if self.soft is None else self.soft[index]
        depth = None if self.depth is None else self.depth[index]
        return apply(self.rgb[index], self.labels[index], params, crop, void_id, seed, soft, depth)

    def whole(self, index: Tensor | slice) -> Tensor:
        """Return whole images as `augment.apply` gives crops: (N, 3, H, W) of values 0..1, metres a fourth channel."""
        x = self.rgb[index].float() / 255
        return x if self.depth is None else torch.cat((x, self.depth[index].float()), 1)

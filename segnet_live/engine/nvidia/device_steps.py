"""Do the host's steps on the device: shrink a whole picture to the network's size, bring its labels to the picture's.

Each is a few of PyTorch's kernels, which `cuda_graph` captures beside the network's; elsewhere they run as they are,
which is how tests compare them with the host's (`engine.resize.fit_input`, `labels.labels_at`):

* a shrunken picture is the host's within 3 of 255, and within 1 on average, for the host rounds after every step;
* a label is the host's, but where the two nearest classes cover a pixel to shares that are less than 0.01 apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from segnet_live.frame import RGB, Size
from segnet_live.planes import Colours, Planes, rgb_matrix


@dataclass(frozen=True, slots=True)
class Form:
    """How whole pictures come: their (height, width), and the colours of planes; None for RGB."""

    size: Size
    colours: Colours | None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a picture's bytes: (H, W, 3) for RGB, (H * 3 / 2, W) for planes one after the other."""
        height, width = self.size
        return (height, width, 3) if self.colours is None else (height * 3 // 2, width)


def form_of(picture: RGB | Planes, size: Size) -> Form | None:
    """Return the form of a picture that the device is to shrink to `size`; None if the host had better do it.

    A side that does not shrink makes it small, and the host's filters for enlarging are its own.
    """
    if isinstance(picture, Planes):
        form = Form(picture.size, picture.colours)
    else:
        form = Form((picture.shape[0], picture.shape[1]), None)
    return form if form.size[0] > size[0] and form.size[1] > size[1] else None


def lay_out(picture: RGB | Planes, out: NDArray[np.uint8]) -> None:
    """Copy a picture's bytes into `out`, of its form's shape."""
    if not isinstance(picture, Planes):
        np.copyto(out, picture)
    elif picture.buffer is not None:
        np.copyto(out, picture.buffer)
    else:
        height, width = picture.size
        np.copyto(out[:height], picture.y)
        for plane, own in zip((picture.u, picture.v), out[height:].reshape(2, height // 2, width // 2), strict=True):
            np.copyto(own, plane)


class Shrink(nn.Module):
    """What `fit_input` does with a larger picture: its bytes, uint8 as in `Form.shape`, to (1, h, w, 3) uint8 RGB.

    Args:
        dtype: what it computes in: half precision keeps whole numbers to 2048, and GPUs multiply it fastest.
    """

    def __init__(self, form: Form, size: Size, dtype: torch.dtype) -> None:
        super().__init__()
        self._form, self._size, self._dtype = form, size, dtype
        self.register_buffer("rows", torch.from_numpy(_cover(form.size[0], size[0])).to(dtype))
        self.register_buffer("columns", torch.from_numpy(_cover(form.size[1], size[1]).T.copy()).to(dtype))
        self.rows: Tensor
        self.columns: Tensor
        if form.colours is not None:
            matrix = torch.from_numpy(rgb_matrix(form.colours))
            # around the middle, where half precision is finest
            middle = torch.full((3,), 128.0)
            self.register_buffer("weights", matrix[:, :3].contiguous().to(dtype))
            self.register_buffer("offsets", (matrix[:, 3] + matrix[:, :3] @ middle).to(dtype).view(3, 1))
            self.weights: Tensor
            self.offsets: Tensor

    def forward(self, picture: Tensor) -> Tensor:
        height, width = self._form.size
        if self._form.colours is None:
            rgb = self._area(picture.to(self._dtype).permute(2, 0, 1))
        else:
            y = _halve(picture[:height].to(self._dtype)[None], self._size)
            uv = picture[height:].reshape(2, height // 2, width // 2).to(self._dtype)
            uv = _linear(_halve(uv, self._size), self._size)
            y = self._area(y) if tuple(y.shape[1:]) == self._form.size else _linear(y, self._size)  # as the host does
            values = torch.cat((y, uv)).reshape(3, -1) - 128
            rgb = torch.addmm(self.offsets, self.weights, values).reshape(3, *self._size)
        return (rgb + 0.5).clamp(0, 255).to(torch.uint8).permute(1, 2, 0)[None]

    def _area(self, planes: Tensor) -> Tensor:
        return self.rows @ planes @ self.columns


def _halve(planes: Tensor, size: Size) -> Tensor:
    while planes.shape[1] >= 2 * size[0] and planes.shape[2] >= 2 * size[1]:
        planes = F.avg_pool2d(planes, 2)
    return planes


def _linear(planes: Tensor, size: Size) -> Tensor:
    if tuple(planes.shape[1:]) == size:
        return planes
    return F.interpolate(planes[None], size=size, mode="bilinear", align_corners=False)[0]


def _cover(large: int, small: int) -> NDArray[np.float32]:
    """Return (small, large): which share of each of `small` equal parts each of `large` ones covers."""
    edges = np.arange(small + 1) * (large / small)
    start, end = edges[:-1, None], edges[1:, None]
    place = np.arange(large)[None]
    overlap = np.minimum(end, place + 1) - np.maximum(start, place)
    return np.asarray(np.clip(overlap, 0, None) * (small / large), np.float32)


class Enlarge(nn.Module):
    """What `labels_at` does with a larger size: (1, h, w) uint8 class ids to (1, H, W) uint8.

    Args:
        classes: how many ids there are.
    """

    def __init__(self, classes: int, size: Size, dtype: torch.dtype) -> None:
        super().__init__()
        self._size, self._dtype = size, dtype
        self.register_buffer("ids", torch.arange(classes, dtype=torch.uint8).view(classes, 1, 1))
        self.ids: Tensor

    def forward(self, labels: Tensor) -> Tensor:
        members = (labels == self.ids).to(self._dtype)
        return _linear(members, self._size).argmax(0, keepdim=True).to(torch.uint8)

"""The deployed form of a network: uint8 RGB in, label map out, batch norm folded, pooling exportable."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from segnet_live.nets.pooling import Pooling
from segnet_live.nets.segnet import Network

GRAPH_REVISION = 3
"""Part of every engine cache key: raise it when the same weights would give another graph."""


def fold_batch_norm(network: Network) -> Network:
    """Return a copy of `network` in evaluation mode whose batch norms are folded into the convolutions before them.

    Folding happens in the weights' own dtype: give it float32 and convert afterwards.
    """
    folded = copy.deepcopy(network).eval()
    # a subclass with a forward of its own may run its layers in another order
    for block in [m for m in folded.modules() if getattr(type(m), "forward", None) is nn.Sequential.forward]:
        layers = list(block.named_children())
        for (name, conv), (norm_name, norm) in itertools.pairwise(layers):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(block, name, fuse_conv_bn_eval(conv, norm))
                setattr(block, norm_name, nn.Identity())
    return folded


class Deploy(nn.Module):
    """The network as engines run it: normalise, network, arg max.

    Takes (N, H, W, 3) uint8 RGB, gives (N, H, W) class ids in `ids`. Every constant is a buffer whose rank equals
    its partner's; uint8 becomes floating before any other operation (TensorRT takes uint8 only in a cast).

    Args:
        network: float32; a folded copy is made.
        mean, std: per RGB channel, of values 0..1.
        pooling: exportable pooling of equal semantics; None keeps the network's own.
        dtype: what the network computes in.
        ids: dtype of the result; TensorRT has no uint8 output, so int32 there.
    """

    def __init__(
        self,
        network: Network,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        pooling: Pooling | None = None,
        dtype: torch.dtype = torch.float32,
        ids: torch.dtype = torch.uint8,
    ) -> None:
        super().__init__()
        self.network = fold_batch_norm(network).to(dtype)
        if pooling is not None:
            self.network.pooling = pooling
        self.dtype = dtype
        self.ids = ids
        scale = 1 / (255 * torch.tensor(std, dtype=torch.float64))
        self.register_buffer("scale", scale.to(dtype).view(1, 3, 1, 1))
        self.register_buffer(
            "shift", (-torch.tensor(mean, dtype=torch.float64) * 255 * scale).to(dtype).view(1, 3, 1, 1)
        )
        self.scale: Tensor
        self.shift: Tensor
        self.eval()

    def forward(self, rgb: Tensor) -> Tensor:
        # scaled after the permutation: OpenVINO then needs 0.7 ms less than for a broadcast along the last axis
        x = rgb.to(self.dtype).permute(0, 3, 1, 2) * self.scale + self.shift
        return self.network.label_ids(x).to(self.ids)

"""The deployed form of a network: uint8 RGB in, label map out, batch norm folded, pooling exportable."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from segnet_live.nets.bayesian import Samples
from segnet_live.nets.confidence import as_bytes, margin, margin_of_probabilities
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


class Deployed(nn.Module):
    """What all deployed forms have in common: the folded network, and the way from uint8 to its input.

    Attributes:
        in_rows: normalise rows of 3 W values before the permutation, as OpenVINO does it in the least time; the values
            are the same.
    """

    in_rows = False

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

    def _normalised(self, rgb: Tensor) -> Tensor:
        if self.in_rows:
            n, height, width, channels = rgb.shape
            scale, shift = (each.view(1, 1, channels).repeat(1, 1, width) for each in (self.scale, self.shift))
            rows = rgb.to(self.dtype).reshape(n, height, width * channels) * scale + shift
            return rows.reshape(n, height, width, channels).permute(0, 3, 1, 2)
        return rgb.to(self.dtype).permute(0, 3, 1, 2) * self.scale + self.shift


class Deploy(Deployed):
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

    def forward(self, rgb: Tensor) -> Tensor:
        return self.network.label_ids(self._normalised(rgb)).to(self.ids)


class DeployWithConfidence(Deployed):
    """`Deploy` with a second output, the confidence of each pixel.

    Gives (N, H, W) class ids, the same as `Deploy`, and (N, H, W) confidences 0..255, both in `ids`: 255 times the
    margin between the two largest class probabilities (see `segnet_live.nets.confidence`).

    Args:
        temperature: divides the logits before their soft-max.
        others: see `Deploy`.
    """

    def __init__(
        self,
        network: Network,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        temperature: float = 1.0,
        pooling: Pooling | None = None,
        dtype: torch.dtype = torch.float32,
        ids: torch.dtype = torch.uint8,
    ) -> None:
        super().__init__(network, mean, std, pooling=pooling, dtype=dtype, ids=ids)
        self.temperature = temperature

    def forward(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        x = self._normalised(rgb)
        scores = self.network.class_scores(x)
        confidence = as_bytes(margin(scores, self.temperature), self.ids)
        return self.network.at_pixels(scores.argmax(1), x).to(self.ids), self.network.at_pixels(confidence, x)


class DeploySamples(Deployed):
    """The Bayesian form of a network with dropout (`segnet_live.nets.bayesian.Samples`): labels from many passes.

    Gives (N, H, W) class ids, the arg max of the mean probabilities, in `ids`; confidences 0..255 in `ids`, 255 times
    the margin between the two largest mean probabilities; and (N, H, W) float32 variances, the mean over the classes of
    the variance between the passes, 0..0.25. The mean needs no temperature: it is the paper's own estimate.

    Args:
        samples: passes for each frame, in one batch.
        others: see `Deploy`.

    Raises:
        ValueError: the network has no dropout, or `samples` is below 2.
    """

    def __init__(
        self,
        network: Network,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        samples: int,
        pooling: Pooling | None = None,
        dtype: torch.dtype = torch.float32,
        ids: torch.dtype = torch.uint8,
    ) -> None:
        super().__init__(network, mean, std, pooling=pooling, dtype=dtype, ids=ids)
        self.sampled = Samples(self.network, samples)

    def forward(self, rgb: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, variance = self.sampled(self._normalised(rgb))
        confidence = as_bytes(margin_of_probabilities(mean), self.ids)
        return mean.argmax(1).to(self.ids), confidence, variance.float().mean(1)


def deploy(
    network: Network,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    confidence: bool = False,
    temperature: float = 1.0,
    samples: int = 0,
    pooling: Pooling | None = None,
    dtype: torch.dtype = torch.float32,
    ids: torch.dtype = torch.uint8,
) -> Deployed:
    """Return the deployed form that gives what is asked for: labels alone, or confidences, or samples with both.

    Raises:
        ValueError: see `DeploySamples`.
    """
    if samples:
        return DeploySamples(network, mean, std, samples=samples, pooling=pooling, dtype=dtype, ids=ids)
    if confidence:
        return DeployWithConfidence(network, mean, std, temperature=temperature, pooling=pooling, dtype=dtype, ids=ids)
    return Deploy(network, mean, std, pooling=pooling, dtype=dtype, ids=ids)

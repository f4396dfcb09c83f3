"""Round a deployed network's convolutions to 8 bits by the ranges on a card, as GPUs compute them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segnet_live.card import check_ranges
from segnet_live.nets.deploy import Deployed

LARGEST = 127


class RoundedConvolution(nn.Module):
    """A convolution of values and weights rounded to -127..127: one scale for its input, one for each output channel.

    TensorRT's int8 has a sign and no zero point, so inputs, which follow a ReLU, use half of its 256 levels.

    Args:
        largest: the input that becomes 127.
    """

    def __init__(self, convolution: nn.Conv2d, largest: float) -> None:
        super().__init__()
        self.convolution = convolution
        # as TensorRT has them: in the type that the values come in
        dtype = convolution.weight.dtype
        self.scale = float(torch.tensor(largest / LARGEST).to(dtype))
        kernels = (convolution.weight.detach().abs().amax((1, 2, 3)).float() / LARGEST).to(dtype).float()
        self.register_buffer("scales", kernels.clamp(min=torch.finfo(torch.float16).tiny))
        self.register_buffer("zeros", torch.zeros(len(kernels), dtype=torch.int32))
        self.scales: Tensor
        self.zeros: Tensor

    def forward(self, x: Tensor) -> Tensor:
        own = self.convolution
        x = torch.fake_quantize_per_tensor_affine(x, self.scale, 0, -LARGEST - 1, LARGEST)
        weight = torch.fake_quantize_per_channel_affine(own.weight, self.scales, self.zeros, 0, -LARGEST, LARGEST)
        assert not isinstance(own.padding, str)
        return F.conv2d(x, weight, own.bias, own.stride, own.padding, own.dilation, own.groups)


@torch.inference_mode()
def in_execution_order(deploy: Deployed) -> list[nn.Conv2d]:
    """Return the convolutions of `deploy` in the order in which a frame meets them."""
    met: dict[nn.Conv2d, None] = {}
    found = [module for module in deploy.modules() if isinstance(module, nn.Conv2d)]
    handles = [module.register_forward_pre_hook(lambda module, _: met.setdefault(module)) for module in found]
    deploy(torch.zeros((1, 32, 32, 3), dtype=torch.uint8))
    for handle in handles:
        handle.remove()
    return list(met)


def quantise(deploy: Deployed, maxima: Sequence[float | None]) -> Deployed:
    """Replace the convolutions of `deploy`, in place, by rounded ones; return it.

    Args:
        deploy: on the CPU.
        maxima: the largest input of each convolution in execution order, None for one that stays in floating point.

    Raises:
        CardError: the number of ranges is not the number of convolutions.
    """
    order = in_execution_order(deploy)
    check_ranges(maxima, len(order))
    ranges = dict(zip(order, maxima, strict=True))
    for parent in list(deploy.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d) and (largest := ranges.get(child)) is not None:
                setattr(parent, name, RoundedConvolution(child, largest))
    return deploy

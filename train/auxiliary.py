"""Add a second classifier on the deepest features, for training only: it shortens the gradient's way to the encoder.

Szegedy et al., arXiv:1409.4842, section 5; as in PSPNet (arXiv:1612.01105). Packaged weights do not have it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from segnet_live.nets.segnet import Network, SegNetFast


class AuxiliaryHead(nn.Module):
    """Logits (N, K, h, w) from what the deepest stage of `network` gave in its last forward pass."""

    def __init__(self, network: Network, classes: int) -> None:
        super().__init__()
        self._features: Tensor | None = None
        encoders = list(network.get_submodule("encoders").children())
        deepest: nn.Module = network.context if isinstance(network, SegNetFast) else encoders[-1]
        channels = [m.out_channels for m in deepest.modules() if isinstance(m, nn.Conv2d)][-1]
        self.classifier = nn.Conv2d(channels, classes, 1)
        self.classifier.to(next(network.parameters()).device)
        deepest.register_forward_hook(self._store)

    def _store(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        if torch.is_grad_enabled():
            self._features = output

    def forward(self) -> Tensor:
        """Return the logits of the last pass, and let its features go."""
        features, self._features = self._features, None
        assert features is not None  # the network ran before
        logits: Tensor = self.classifier(features)
        return logits

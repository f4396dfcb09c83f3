"""Bayesian SegNet: dropout kept on at test time, and the mean and variance over samples.

Source: Kendall, Badrinarayanan, Cipolla, arXiv:1511.02680; section 5 of arXiv:1511.00561 names it as future work.
"""

from __future__ import annotations

from torch import Tensor, nn

from segnet_live.nets.segnet import Network, SegNet


class BayesianSegNet(SegNet):
    """SegNet with dropout of 0.5 after the deeper stages: after encoders 3 to 5, and after their decoders.

    Its tensors are SegNet's, so weights go both ways. It has a name of its own because a card of `segnet` does not say
    whether it was trained with dropout, without which sampling means nothing. The text puts dropout after "the central
    four encoder and decoder units", the released network after three encoders and three decoders. Built: the released.
    """

    def __init__(self, classes: int = 11, *, dropout: float = 0.5) -> None:
        super().__init__(classes, dropout=dropout)


class Samples(nn.Module):
    """Many forward passes of one network with its dropout on, in one batch.

    Batch norm stays in evaluation mode. Every network with a dropout above 0 can be sampled.

    Args:
        network: any with dropout; its dropout stays on in this module's evaluation mode.
        samples: passes for each image, 2 or more. From about 6 on, the paper's means beat one pass without dropout.

    Raises:
        ValueError: the network has no dropout, or too few samples are asked for.
    """

    def __init__(self, network: Network, samples: int = 8) -> None:
        super().__init__()
        if not any(isinstance(m, nn.Dropout) and m.p > 0 for m in network.modules()):
            raise ValueError(
                f"{type(network).__name__} has no dropout, all its samples are equal; "
                "take a network trained with dropout, such as segnet-bayesian"
            )
        if samples < 2:
            raise ValueError(f"{samples} samples have no variance; ask for 2 or more")
        self.network = network
        self.samples = samples
        self.eval()

    def train(self, mode: bool = True) -> Samples:
        """Set the mode of everything but the network: its dropout is always on, its batch norm never learns."""
        super().train(mode)
        self.network.eval()
        for module in self.network.modules():
            if isinstance(module, nn.Dropout):
                module.train()
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance over the samples of the class probabilities.

        Args:
            x: normalised images (N, 3, H, W).

        Returns:
            Two tensors (N, K, H, W): the mean, whose arg max is the prediction, and the variance, whose mean over the
            classes is the paper's uncertainty of a pixel (population variance, 0 to 0.25).
        """
        n = x.shape[0]
        passes = self.network(x.repeat(self.samples, 1, 1, 1)).softmax(1)
        passes = passes.reshape(self.samples, n, *passes.shape[1:])
        mean = passes.mean(0)
        return mean, (passes - mean).square().mean(0)

"""Dense CRF after a network: labels follow the image's edges (Krähenbühl and Koltun, arXiv:1210.5644).

As DeepLab uses it (arXiv:1412.7062) and Tables 3 and 4 of arXiv:1511.00561 compare it. An option of `evaluate` only: it
takes seconds an image. The library is pydensecrf2, which has no wheels and compiles C++ when it is installed.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from segnet_live.card import Card
from segnet_live.engine.base import EngineInfo
from segnet_live.engine.resize import fit_input
from segnet_live.errors import UsageError
from segnet_live.frame import RGB, LabelMap, Size
from segnet_live.nets.load import load_network

ITERATIONS = 10
SMOOTHNESS = {"sxy": 3, "compat": 3}
APPEARANCE = {"sxy": 121, "srgb": 5, "compat": 4}
"""Widths in pixels and in RGB values, and weights: those of DeepLab-LargeFOV. SegNet's paper found its own "by an
expensive grid-search process on a subset of the training set" and does not give them."""


def refine(rgb: RGB, probabilities: NDArray[np.float32]) -> LabelMap:
    """Return the (H, W) uint8 labels that agree with the probabilities and with the edges of the image.

    Args:
        rgb: (H, W, 3) uint8.
        probabilities: (K, H, W), of the classes.

    Raises:
        UsageError: pydensecrf2 is not installed.
    """
    try:
        from pydensecrf.densecrf import DenseCRF2D
    except ImportError as error:
        raise UsageError("--dense-crf needs pydensecrf2", "pip install 'segnet-live[crf]'; it compiles C++") from error
    classes, height, width = probabilities.shape
    field = DenseCRF2D(width, height, classes)
    field.setUnaryEnergy(np.ascontiguousarray(-np.log(probabilities.clip(1e-5)).reshape(classes, -1), np.float32))
    field.addPairwiseGaussian(**SMOOTHNESS)
    field.addPairwiseBilateral(rgbim=np.ascontiguousarray(rgb), **APPEARANCE)
    labels: LabelMap = np.asarray(field.inference(ITERATIONS)).argmax(0).reshape(height, width).astype(np.uint8)
    return labels


class DenseCRFEngine:
    """The card's network in PyTorch on the CPU with a dense CRF after it, as an engine.

    Raises:
        UsageError: pydensecrf2 is not installed.
        CardError: the weights are damaged or do not fit.
    """

    def __init__(self, card: Card, size: Size) -> None:
        self._network = load_network(card)
        self._mean, self._std = (torch.tensor(values).view(1, 3, 1, 1) for values in (card.mean, card.std))
        self.info = EngineInfo("torch", "CPU, dense CRF", "fp32", card.name, size, "dense CRF")
        refine(np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 2), 0.5, np.float32))  # a missing library is said now

    def segment(self, rgb: RGB) -> LabelMap:
        """Return (h, w) uint8 class ids at the network's size."""
        fitted = np.ascontiguousarray(fit_input(rgb, self.info.input_size))
        x = torch.from_numpy(fitted.copy()).permute(2, 0, 1)[None] / 255
        with torch.inference_mode():
            probabilities = self._network((x - self._mean) / self._std).softmax(1)[0].numpy()
        return refine(fitted, probabilities)

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""

"""List all networks by the names that cards and commands use, with the paper's figures of them."""

from __future__ import annotations

from dataclasses import dataclass

from segnet_live.nets.basic_variants import (
    BilinearInterpolation,
    FCNBasic,
    FCNBasicNoAddition,
    FCNBasicNoAdditionNoDimReduction,
    FCNBasicNoDimReduction,
    SegNetBasicEncoderAddition,
    SegNetBasicSingleChannelDecoder,
)
from segnet_live.nets.bayesian import BayesianSegNet
from segnet_live.nets.deconvnet import DeconvNet
from segnet_live.nets.deeplab import DeepLabLargeFOV
from segnet_live.nets.fcn import FCN, FCNLearntDeconvolution
from segnet_live.nets.first_segnet import FirstSegNet
from segnet_live.nets.segnet import Network, SegNet, SegNetBasic, SegNetFast
from segnet_live.nets.unet import UNetVGG16

NETWORKS: dict[str, type[Network]] = {
    "segnet": SegNet,
    "segnet-basic": SegNetBasic,
    "segnet-fast": SegNetFast,
    "segnet-basic-encoder-addition": SegNetBasicEncoderAddition,
    "segnet-basic-single-channel-decoder": SegNetBasicSingleChannelDecoder,
    "bilinear-interpolation": BilinearInterpolation,
    "fcn-basic": FCNBasic,
    "fcn-basic-no-addition": FCNBasicNoAddition,
    "fcn-basic-no-dim-reduction": FCNBasicNoDimReduction,
    "fcn-basic-no-addition-no-dim-reduction": FCNBasicNoAdditionNoDimReduction,
    "fcn": FCN,
    "fcn-learnt-deconvolution": FCNLearntDeconvolution,
    "deconvnet": DeconvNet,
    "deeplab-largefov": DeepLabLargeFOV,
    "unet-vgg16": UNetVGG16,
    "segnet-2015": FirstSegNet,
    "segnet-bayesian": BayesianSegNet,
}
"""Architecture names as cards and commands use them; `segnet_live.card.ARCHITECTURES` has the names without torch."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A row of arXiv:1511.00561, Table 1: millions of parameters, the storage multiplier (None: n/a), and the inference
    time in ms, of a 360x480 image on an NVIDIA Titan."""

    parameters_m: float
    storage_multiplier: float | None
    inference_ms: float


TABLE_1 = {
    "bilinear-interpolation": Variant(0.625, 0, 24.2),
    "segnet-basic": Variant(1.425, 1, 52.6),
    "segnet-basic-encoder-addition": Variant(1.425, 64, 53.0),
    "segnet-basic-single-channel-decoder": Variant(0.625, 1, 33.1),
    "fcn-basic": Variant(0.65, 11, 24.2),
    "fcn-basic-no-addition": Variant(0.65, None, 23.8),
    "fcn-basic-no-dim-reduction": Variant(1.625, 64, 44.8),
    "fcn-basic-no-addition-no-dim-reduction": Variant(1.625, 0, 43.9),
}
"""The paper's eight decoder variants, in its order; `basic_variants.py` says where ours differ and why."""


@dataclass(frozen=True, slots=True)
class Resources:
    """A row of arXiv:1511.00561, Table 6: ms of a pass of a 360x480 image, and MB, on an NVIDIA Titan with cuDNN v3."""

    forward_ms: float
    backward_ms: float
    training_mb: float
    inference_mb: float
    model_mb: float


TABLE_6 = {
    "segnet": Resources(422.50, 488.71, 6803, 1052, 117),
    "deeplab-largefov": Resources(110.06, 160.73, 5618, 1993, 83),
    "fcn-learnt-deconvolution": Resources(317.09, 484.11, 9735, 1806, 539),
    "deconvnet": Resources(474.65, 602.15, 9731, 1872, 877),
}
"""Its four large networks. The model sizes are those of float32 parameters; ours of DeconvNet differs, see there."""

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
    """A row of arXiv:1511.00561, Table 1: millions of parameters, and the storage multiplier (None: n/a)."""

    parameters_m: float
    storage_multiplier: float | None


TABLE_1 = {
    "bilinear-interpolation": Variant(0.625, 0),
    "segnet-basic": Variant(1.425, 1),
    "segnet-basic-encoder-addition": Variant(1.425, 64),
    "segnet-basic-single-channel-decoder": Variant(0.625, 1),
    "fcn-basic": Variant(0.65, 11),
    "fcn-basic-no-addition": Variant(0.65, None),
    "fcn-basic-no-dim-reduction": Variant(1.625, 64),
    "fcn-basic-no-addition-no-dim-reduction": Variant(1.625, 0),
}
"""The paper's eight decoder variants, in its order; `basic_variants.py` says where ours differ and why."""

TABLE_6_MB = {"segnet": 117, "deeplab-largefov": 83, "fcn-learnt-deconvolution": 539, "deconvnet": 877}
"""Model sizes of arXiv:1511.00561, Table 6, in MB of float32 parameters; ours of DeconvNet differs, see there."""

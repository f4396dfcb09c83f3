"""TensorRT's real Python bindings with a recorder in place of the objects that need the library itself."""

import sys
import types

import recorder
import tensorrt_bindings.tensorrt as _real
from tensorrt_bindings import *  # noqa: F403
from tensorrt_bindings import __version__ as __version__

tensorrt = types.ModuleType("tensorrt.tensorrt")
tensorrt.__dict__.update(_real.__dict__)
sys.modules["tensorrt.tensorrt"] = tensorrt
for _module in (sys.modules[__name__], tensorrt):
    _module.ITensor = recorder.Tensor
    _module.ILayer = recorder.Layer
    _module.INetworkDefinition = recorder.Network
    _module.Builder = recorder.Builder

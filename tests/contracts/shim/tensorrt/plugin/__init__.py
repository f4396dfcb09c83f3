"""The real bindings' plugin module, under the name Torch-TensorRT imports."""

from tensorrt_bindings.plugin import *  # noqa: F403

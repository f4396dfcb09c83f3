"""The engines of NVIDIA GPUs: PyTorch's inductor and TensorRT, and `auto`, which goes from one to the next.

Open `auto.py` first. `tensorrt_build.py` makes TensorRT engines (`build_process.py` in a child process), `tensorrt.py`
runs them; `cuda_graph.py` is the loop from frame to label map that both engines share.
"""

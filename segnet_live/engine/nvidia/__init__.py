"""The engines of NVIDIA GPUs, and `auto`, which goes from one to the next.

Open `auto.py` first. `cuda_graph.py` is the loop from frame to label map that all of them share; `graphed.py` puts
PyTorch's own kernels into it, `inductor.py` compiled ones, `tensorrt.py` built engines. Those are made by
`tensorrt_build.py` (`build_process.py` in a child process) and `tensorrt_rtx.py`, through `trt_builder.py` and
`trt_network.py`, which writes a network down for either. `device.py` says what is wrong with a GPU.
"""

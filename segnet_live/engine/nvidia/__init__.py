"""The engines of NVIDIA GPUs: PyTorch's inductor and TensorRT, and `auto`, which goes from one to the next."""

"""Take models and labels elsewhere, in formats that other programs read.

Open `network.py` first: it writes a network as ONNX, OpenVINO or PyTorch file with everything inside, then runs that
file and compares. `annotations.py` writes label maps as COCO, Cityscapes or CVAT annotations.
"""

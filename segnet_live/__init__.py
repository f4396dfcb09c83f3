"""Real-time road-scene segmentation with SegNet (arXiv:1511.00561): camera, stream or video in, annotated video out."""

__version__ = "0.1.0"

"""The networks: SegNet, SegNet-Basic and SegNet-Fast, their pooling, and the deployed form engines run."""

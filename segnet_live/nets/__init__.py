"""The networks: SegNet, SegNet-Basic, SegNet-Fast, and those that the paper compares them with.

Open `segnet.py` first; `pooling.py` has the pooling indices and `form_for`, the only place that chooses a runtime's
pooling form. `networks.py` lists all networks by name, and `deploy.py` makes the form that engines run.
"""

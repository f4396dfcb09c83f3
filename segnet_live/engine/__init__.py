"""Engines run weights: uint8 RGB frame of any size in, uint8 label map at network size out.

Open `base.py` (the contract) and `open.py` (the choice) first. `openvino.py` and `eager.py` run on every machine,
`nvidia/` has what only GPUs run. `governed.py` and `smoothing.py` wrap engines; `artifacts.py` stores them.
The window swaps engines in `pipeline/live/engine_switch.py`; `bench/engines.py` times them.
"""

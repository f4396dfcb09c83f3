"""`segnet-live bench` measures speed, memory and label agreement of every model on every engine of this machine.

Open `command.py` first. `engines.py` times engines and `video.py` the whole headless run; `measure.py` and `machine.py`
say how, and on what. The engines themselves are in `segnet_live/engine`, video in `segnet_live/video`.
"""

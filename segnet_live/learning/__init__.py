"""What training and adapting share: labelled images, crops, losses, measures, model folders.

`train/` makes the weights that ship with it, from a clone; `segnet_live/adapt` fits them to a user's own road, from the
installed app. Open `data.py` (labelled images) first; `augment.py` draws crops, `losses.py` compares, `evaluate.py`
measures, `int8_ranges.py` and `model_folder.py` make a model that every engine runs. `seen.py` records what was learnt.
"""

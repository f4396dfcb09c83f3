"""Fit a model to a user's own road: a short training on corrected drafts that keeps what the model knew.

Open `adapt.py` first, which measures, trains, measures again and refuses what got worse. `finetune.py` has the training
and says what holds the weights near the old ones; `images.py` what it learns from; `report.py` writes figures and
pictures. The trainer of the weights that ship is `train/`, which is no part of the installed app; what both need lies
in `segnet_live/learning`.
"""

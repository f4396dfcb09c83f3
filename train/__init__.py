"""Train and package the shipped weights, from a clone of the repository; `train/README.md` explains the commands.

Open `cli.py` first for the commands, `fit.py` for the training loop, `config.py` for all settings. `initialise.py` has
what a run starts from, `interrupt.py` ends it whole on Ctrl-C, and `package.py` makes models.
"""

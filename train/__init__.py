"""Training of the shipped weights, run from a clone: see train/README.md, or `python -m train --help`."""

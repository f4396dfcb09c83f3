"""Training of the shipped weights: `python -m train fit|evaluate|package|weights`, run from a clone."""

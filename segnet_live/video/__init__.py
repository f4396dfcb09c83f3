"""Video in and out: sources that yield `Frame`s with true timestamps, and the recorder that keeps them."""

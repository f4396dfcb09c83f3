"""Read and write video: sources yield `Frame`s with true timestamps, and the recorder keeps them.

Open `source.py` (the contract) and `open.py` (the choice of a source) first; one file for each kind of source follows
them. `recorder.py` writes mp4 with the sound of `soundtrack.py`; `remux.py` finishes the file.
"""

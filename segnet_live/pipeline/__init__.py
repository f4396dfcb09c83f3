"""Take frames through their stages, in threads: source, engine, views and outputs.

Open `inference.py` first, the one step from a frame to its labels, then `headless/pipeline.py`, the simplest use of it.
`handover.py` passes frames between threads. `headless/` runs without a window and loses nothing of a file, `live/` is
the session behind the window, and `record/` writes outputs.
"""

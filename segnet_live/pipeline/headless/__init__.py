"""Run without a window: a file, a camera or stream, pictures, or a folder or list of videos.

Open `run.py` first: it prepares a job and prints what becomes of it. `pipeline.py` has the threads, `folder.py` runs a
job for each video of a folder or list: `tasks.py` plans them, `worker.py` does one. `indexing.py` brings the index of a
drive, and `reconnect.py` reopens lost sources.
"""

"""Work with drives after they were watched: what an index of a drive tells, without running the network again.

Open `index.py` first: the figures of every frame, and where they are kept. `indexer.py` collects them in a run without
a window; `segnet_live.pipeline.headless.indexing` makes the run. `query.py` and `moments.py` find moments, `track.py`
reads where the drive went, and `report/` writes a page about it.
"""

"""Do a folder or list of videos on a Ray cluster: the only package that imports Ray (extra `fleet`).

Open `run.py` first, the counterpart of `pipeline/headless/folder.py`. `cluster.py` connects and declares what a worker
takes of a machine, `worker.py` has the actors, `pieces.py` cuts long files into pieces and joins what became of them.
Which worker runs where, and what is begun again after one was lost, is Ray's business.
"""

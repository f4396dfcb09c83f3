"""Drafts: frames that a model finds hard, with its guess, for a person to correct and a model to learn from.

Open `folder.py` first: what a drafts folder holds, and who made what in it. `choose.py` picks frames worth correcting,
`editing.py` changes a label map with brush, polygon, fill and regions (which `regions.py` finds), each step undoable.
The editor's window is `segnet_live/ui/correct`.
"""

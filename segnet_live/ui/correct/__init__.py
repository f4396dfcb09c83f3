"""The editor of drafts: a person corrects what a model guessed, with brush, polygon, fill and regions.

Open `window.py` first; `canvas.py` shows the picture and takes the mouse, `tools.py` lists the tools and every key,
`adapting.py` runs `segnet-live adapt` and shows what it gave, `command.py` is `segnet-live correct`. What an edit does
to a label map is in `segnet_live/drafts/editing.py`, without Qt.
"""

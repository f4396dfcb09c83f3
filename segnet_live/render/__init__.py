"""Draw what people see: class colours, views, burnt-in figures. No torch, no Qt.

Open `view.py` first: `compose` makes the picture of a frame for window and recordings alike. `overlay.py` blends the
colours; `hud.py` has the one text and the one painter of the HUD.
"""

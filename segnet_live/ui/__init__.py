"""The window, the only package that imports PyQt6.

Open `app.py` first: it puts the parts together. `Controls` carries out what the user asks for, `Saver` writes pictures
and recordings, `StatusUpdater` refreshes figures, and `MainWindow` holds the `widgets/`. The work itself is done by
`pipeline.live.session.LiveSession`, which knows nothing of Qt.
"""

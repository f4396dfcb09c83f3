"""The session behind the window, without Qt.

Open `session.py` first: `LiveSession` owns the threads. `Capture` reads the source (`PlaybackClock` paces files), and
`EngineSwitch` opens engines in the background.
"""

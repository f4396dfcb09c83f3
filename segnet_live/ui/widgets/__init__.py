"""The widgets of the window, one part of it in each file; open `video_view.py`, which paints the video, first.

They show what `Controls`, `Saver` and the session report, call their methods, and decide nothing.
"""

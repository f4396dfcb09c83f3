"""Runs without a window: one file, a camera or a stream, a folder of videos."""

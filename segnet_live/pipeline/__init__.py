"""Threads between source, engine, overlay and outputs; hand-over, stop, error and clock."""

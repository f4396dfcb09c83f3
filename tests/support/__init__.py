"""What tests of several folders share: clips, sources, engines, sinks, model folders, the window, training runs."""

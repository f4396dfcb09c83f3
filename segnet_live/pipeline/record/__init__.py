"""The outputs of a run: recordings, label maps, statistics, snapshots.

Open `sinks.py` first, the contract of outputs. `video.py` records views: `Recording` without a window, `LiveRecording`
from it; both encode with `segnet_live.video.recorder.Recorder`. `hiding_sink.py` hides classes in
what another sink gets. `preflight.py` checks all outputs before a run begins.
"""

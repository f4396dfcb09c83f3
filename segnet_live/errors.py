"""Every error this project raises on purpose.

SegnetLiveError          the one to catch: one line for a person (got, required, what to do); exit code 2
├── UsageError           an option or a combination of options that cannot be carried out
├── SourceError          a video, stream, camera or image that cannot be opened or read
│   └── SourceLost       a live source that stopped delivering; opening it again may help
├── OutputError          a recording, mask folder, stats file or snapshot that cannot be written
├── CardError            a model folder whose card or weights are missing, damaged or inconsistent
├── EngineError          a backend that is missing, cannot run this network, or disagrees with eager
└── DataError            training or evaluation data that does not hold what its layout promises
"""


class SegnetLiveError(Exception):
    """Base of all errors raised on purpose; its text is the line the user reads."""


class UsageError(SegnetLiveError):
    """An option or a combination of options that cannot be carried out."""


class SourceError(SegnetLiveError):
    """A video, stream, camera or image that cannot be opened or read."""


class SourceLost(SourceError):
    """A live source that stopped delivering frames; opening it again may help."""


class OutputError(SegnetLiveError):
    """A recording, mask folder, stats file or snapshot that cannot be written."""


class CardError(SegnetLiveError):
    """A model folder whose card or weights are missing, damaged or inconsistent."""


class EngineError(SegnetLiveError):
    """A backend that is missing, cannot run this network, or disagrees with eager."""


class DataError(SegnetLiveError):
    """Training or evaluation data that does not hold what its layout promises."""

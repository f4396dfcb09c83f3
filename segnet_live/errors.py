"""The errors that this project raises on purpose.

SegnetLiveError          the one to catch: one line for a person (got, required, what to do); exit code 2
├── UsageError           an option or a combination of options that cannot be carried out
├── SourceError          a video, stream, camera or image that cannot be opened or read
│   └── SourceLost       a live source that stopped delivering; opening it again may help
├── OutputError          a recording, mask folder, stats file or snapshot that cannot be written
├── CardError            a model folder whose card or weights are missing, damaged or inconsistent
├── EngineError          a backend that is missing, cannot run this network, or disagrees with eager
└── DataError            training or evaluation data that does not hold what its layout promises
"""

from segnet_live.display_text import fit_to_show


class SegnetLiveError(Exception):
    """Base of all errors raised on purpose; its text is the line the user reads: what is wrong, then what to do.

    Attributes:
        problem: what was got and what is required.
        advice: what to do about it; "" where `problem` says it all.

    Both are fit to be shown: names in them may come from strangers, and URLs may hold passwords.
    """

    def __init__(self, problem: str, advice: str = "") -> None:
        self.problem = fit_to_show(problem)
        self.advice = fit_to_show(advice)
        super().__init__(f"{self.problem}; {self.advice}" if advice else self.problem)


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


_NO_MEMORY = (
    *("bad_alloc", "bad allocation", "can't alloc", "cannot allocate memory", "insufficient memory"),
    *("out of memory", "not enough memory", "can't start new thread", "failed to map segment"),
)
"""What C++, OpenVINO, OpenCV, torch, the system's threads and its loader say, in lower case."""


def lacks_memory(error: BaseException) -> bool:
    """Return whether an exception says that the memory is full, in Python's words or in those of a library."""
    told = str(error).lower()
    no_thread = isinstance(error, RuntimeError) and "resource temporarily unavailable" in told  # std::thread's words
    return (
        isinstance(error, MemoryError)
        or no_thread
        or (any(words in told for words in _NO_MEMORY) and "static tls" not in told)  # glibc's own, of fixed size
    )


def first_line(error: BaseException) -> str:
    """Return the first line of what an exception of a library or of the system says, or its type's name."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__

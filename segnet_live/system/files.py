"""Write files whole or not at all, and find names that are free: the only module that knows what ".partial" means."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import shlex
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from segnet_live.errors import OutputError, first_line
from segnet_live.system.paths import cache_dir

_ADDED = 26
"""Characters that the name of a growing file has more than its final one, at most."""
_ADVICE = "free disk space, or name another path"


def partial_path(path: Path) -> Path:
    """Return the name under which a long output grows until it is complete: OUT.mp4 -> OUT.partial.mp4."""
    return path.with_suffix(f".partial{path.suffix.lower()}")


def final_path(partial: Path) -> Path | None:
    """Return the name that a growing output will get: OUT.partial.mp4 -> OUT.mp4; None where it is no such output."""
    stem = Path(partial.stem)
    return partial.with_name(f"{stem.stem}{partial.suffix}") if stem.suffix.lower() == ".partial" else None


def what_to_do_about(partial: Path) -> str:
    """Return the advice for an unfinished recording that stands in the way."""
    return f"`segnet-live repair {shlex.quote(str(partial))}` makes a video of it, --overwrite replaces it"


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the output `path` in the body, so that no other segnet-live on this machine writes it at the same time.

    The system lets go of it when a process dies. Where locks cannot be made, nothing is held.

    Raises:
        OutputError: another one holds it, this process included.
    """
    release = hold(path)
    try:
        yield
    finally:
        release()


def hold(path: Path) -> Callable[[], None]:
    """Do what `held` does, until the function that is returned is called (as often as one likes).

    Raises:
        OutputError: another one holds it, this process included.
    """
    from filelock import FileLock, Timeout

    name = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:24]
    lock = FileLock(cache_dir("outputs") / f"{name}.lock", timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise OutputError(f"{path} is being written by another segnet-live", "wait, or choose another name") from None
    except (OSError, NotImplementedError):  # no room, no rights, a file system without locks
        return lambda: None

    def release() -> None:
        if lock.is_locked:
            with contextlib.suppress(OSError):  # held until here, so nobody else's
                Path(lock.lock_file).unlink()
            lock.release()

    return release


def make_new(path: Path) -> None:
    """Make `path` an empty file of its own: what was there is deleted, a link and not what it points to.

    Raises:
        OSError: it cannot be made.
    """
    path.unlink(missing_ok=True)
    path.open("xb").close()


def free_path(path: Path, first: int = 1) -> Path:
    """Return the first of path, path-2, path-3, ... that no file has, nor an unfinished output.

    Args:
        first: the number to begin with; from 2 on `path` itself is out of the question.
    """
    for number in itertools.count(first):
        candidate = path if number < 2 else path.with_stem(f"{path.stem}-{number}")
        if not any(p.exists() or p.is_symlink() for p in (candidate, partial_path(candidate))):
            return candidate
    raise AssertionError("itertools.count ends never")


@contextlib.contextmanager
def replace_atomically(path: Path, *, advice: str = _ADVICE) -> Iterator[Path]:
    """Yield a name beside `path` to write to; on leaving, what was written replaces `path` in one step.

    The folder is made if it is missing. If the body raises, or anything fails, `path` is what it was before and nothing
    is left beside it. The temporary name never matches the extension, so that nobody takes it for a finished file.

    Args:
        advice: what the error tells the user to do.

    Raises:
        OutputError: the folder or the file cannot be written. Other exceptions of the body pass through.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.unlink(missing_ok=True)  # a link of that name would be followed
        yield scratch
        os.replace(scratch, path)
    except OSError as error:
        _remove(scratch)
        raise OutputError(f"{path} cannot be written ({first_line(error)})", advice) from error
    except BaseException:
        _remove(scratch)
        raise


def write_atomically(path: Path, content: bytes | str, *, advice: str = _ADVICE, durable: bool = False) -> None:
    """Put `content` at `path`, text as UTF-8; `path` holds the old content or the new, never a part.

    Args:
        durable: wait until the disk has it, so that a power cut does not undo it.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        data = content.encode() if isinstance(content, str) else content
    except UnicodeEncodeError as error:  # half a character, as file names that are no UTF-8 have
        raise OutputError(f"{path} cannot hold a name that is no UTF-8", "rename that file or folder") from error
    with replace_atomically(path, advice=advice) as scratch, open(scratch, "wb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def why_no_name(path: Path) -> str:
    """Return why the system can have no file of this name here ("File name too long"), "" where it can or does."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as error:  # too long, forbidden, a circle of links; with a NUL in it
        return first_line(error)
    return ""


def why_no_output(path: Path) -> str:
    """Return why an output cannot have this name, to which ours add while it grows; "" where it can."""
    return why_no_name(path) or why_no_name(path.with_name(f"{path.name}{'x' * _ADDED}") if path.name else path)


def open_regular(path: Path) -> BinaryIO:
    """Open a file that somebody else may have put there to read it; a pipe or a device does not keep us waiting.

    Raises:
        OSError: it cannot be opened, or is no regular file; `strerror` says which.
    """
    file = open(path, "rb", opener=_open_at_once)  # noqa: SIM115  # the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "a pipe or a device, no file")
    return file


def read_regular(path: Path, most: int) -> bytes:
    """Return the content of a file that somebody else may have put there; a huge one does not fill the memory.

    Raises:
        OSError: as `open_regular`, and where the file has more than `most` bytes.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            got = f"{size / 2**20:,.0f} MiB"
            raise OSError(errno.EFBIG, f"it has {got}; at most {most / 2**20:,.0f} are read")
        return file.read(size)


def _open_at_once(name: str, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))  # which Windows has not, nor pipes among its files


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # also NotADirectoryError, where a parent is a file
        path.unlink()

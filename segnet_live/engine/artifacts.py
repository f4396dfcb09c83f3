"""Compiled engines on disk: raw bytes, a JSON manifest and a sha256, in a private per-user folder.

An entry is found by the hash of its facts: everything that would make it another engine, or a wrong one. So a stale
or foreign
entry is never found, only a damaged one, and that counts as absent: a rebuild and one log line, never an error.
Nothing is unpickled. The library's own engine cache is not used: its key leaves out the weights.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from segnet_live.paths import cache_dir

log = logging.getLogger(__name__)

Facts = dict[str, Any]
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """An intact engine and what is known of it.

    Attributes:
        facts: what it was built from and for.
        notes: what was found out when it was built, such as parity and time.
        blob: the engine itself.
    """

    facts: Facts
    notes: Facts
    blob: bytes


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of `segnet-live cache list`; `modified` in seconds since 1970."""

    path: Path
    facts: Facts
    notes: Facts
    size_bytes: int
    modified: float


def key(facts: Facts) -> str:
    """The name of the entry with these facts."""
    return hashlib.sha256(json.dumps({"schema": SCHEMA, **facts}, sort_keys=True).encode()).hexdigest()[:24]


class EngineCache:
    """Engines by their facts. Any process may use the same folder at the same time.

    Args:
        folder: None takes the private one of this user.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_dir("tensorrt")

    def load(self, facts: Facts) -> Entry | None:
        """The engine with exactly these facts; None, after a log line if something was there, means: build it."""
        manifest = self.folder / f"{key(facts)}.json"
        try:
            written = json.loads(manifest.read_bytes())
            if written["facts"] != json.loads(json.dumps(facts)):
                raise ValueError("it was made for something else")
            blob = manifest.with_suffix(".engine").read_bytes()
            if hashlib.sha256(blob).hexdigest() != written["sha256"]:
                raise ValueError("its engine is damaged")
            return Entry(facts, dict(written["notes"]), blob)
        except FileNotFoundError as error:
            if manifest.exists():
                log.warning("cache entry %s is not used (%s is missing); building again", manifest, error.filename)
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("cache entry %s is not used (%s); building again", manifest, error)
        return None

    def store(self, facts: Facts, blob: bytes, notes: Facts) -> bool:
        """Keep an engine; False, after a log line, where the folder is full or cannot be written.

        The manifest comes last and makes the entry valid, so a reader sees the old entry, none, or the new one.
        """
        name = key(facts)
        manifest = {"facts": facts, "notes": notes, "sha256": hashlib.sha256(blob).hexdigest()}
        try:
            (self.folder / f"{name}.json").unlink(missing_ok=True)
            self._write(f"{name}.engine", blob)
            self._write(f"{name}.json", json.dumps(manifest, indent=1).encode())
        except OSError as error:
            log.warning(
                "the engine runs but is not kept: %s (%s); free or repair %s", error.strerror, name, self.folder
            )
            return False
        return True

    def _write(self, name: str, data: bytes) -> None:
        descriptor, partial = tempfile.mkstemp(dir=self.folder, prefix=name, suffix=".partial")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, self.folder / name)
        except OSError:
            Path(partial).unlink(missing_ok=True)
            raise

    @contextlib.contextmanager
    def building(self, facts: Facts) -> Iterator[None]:
        """Only one process at a time is inside with the same facts; the system frees the lock of one that dies.

        Where the folder cannot be written there is no lock, and nothing is shared either.
        """
        lock = FileLock(self.folder / f"{key(facts)}.lock")
        try:
            lock.acquire()
        except OSError as error:
            log.warning("%s cannot be locked (%s); building alone", self.folder, error.strerror)
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def entries(self) -> list[Listed]:
        """What is kept, newest first; damaged manifests appear with empty facts."""
        found = []
        for manifest in self.folder.glob("*.json"):
            try:
                written = json.loads(manifest.read_bytes())
                facts, notes = dict(written["facts"]), dict(written["notes"])
            except (OSError, ValueError, KeyError, TypeError):
                facts, notes = {}, {}
            with contextlib.suppress(OSError):  # cleared by someone else meanwhile
                size = sum(p.stat().st_size for p in self.folder.glob(f"{manifest.stem}.*"))
                found.append(Listed(manifest, facts, notes, size, manifest.stat().st_mtime))
        return sorted(found, key=lambda entry: -entry.modified)


def clear(folder: Path) -> tuple[int, int]:
    """Delete every file below `folder`; how many, and their bytes. What another process holds open stays."""
    files = freed = 0
    for path in sorted(folder.rglob("*"), reverse=True):
        with contextlib.suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
                continue
            size = path.lstat().st_size
            path.unlink()
            files, freed = files + 1, freed + size
    return files, freed


def age(seconds_since_1970: float) -> str:
    """The local date and minute, as lists show it."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds_since_1970))

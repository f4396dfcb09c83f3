"""Keep what was compiled, converted or measured for this machine: one store, in a private per-user folder.

An artifact is a JSON manifest and, beside it, any number of files, whose sha256 the manifest holds. It is found by the
hash of its key fields: everything that would make it another one, or a wrong one. So a stale or foreign artifact is
never found; a damaged one counts as absent: it is made again, after one log line, never an error. A folder that cannot
be written costs one log line, too. Nothing is unpickled.

    tensorrt/      engines
    tensorrt-rtx/  engines, and the kernels that were compiled from them for this GPU
    openvino/      converted networks; OpenVINO's own compiled forms of them lie in openvino/compiled
    parity/        how far an engine agrees with fp32 eager; no files
    index/         figures of the frames of drives
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from segnet_live.errors import OutputError, first_line
from segnet_live.system.files import read_regular, write_atomically
from segnet_live.system.paths import cache_dir

log = logging.getLogger(__name__)

Kind: TypeAlias = Literal["tensorrt", "tensorrt-rtx", "openvino", "parity", "index"]
Fields: TypeAlias = dict[str, Any]
"""Plain values that JSON can hold."""
SCHEMA = 2
LOCK_LIMIT_S = 900.0
"""How long another process may hold an artifact's lock: what it makes takes minutes."""
MOST_MANIFEST_BYTES = 1 << 22
MOST_FILE_BYTES = 1 << 32
ENGINE = ".engine"
"""Suffix of an engine of TensorRT or TensorRT-RTX."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact that was found intact.

    Attributes:
        key_fields: what it was made from and for.
        metadata: what was found out when it was made, such as parity and time.
        files: contents by suffix.
        manifest: where its manifest lies, and its files beside it; None for one that is not on disk.
    """

    key_fields: Fields
    metadata: Fields
    files: Mapping[str, bytes] = field(default_factory=dict)
    manifest: Path | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of `segnet-live cache list`; `modified` in seconds since 1970, no fields where it is damaged."""

    manifest: Path
    key_fields: Fields
    metadata: Fields
    size_bytes: int
    modified: float


def key(key_fields: Fields) -> str:
    """Return the key of the artifact with these fields, which is its name in the store."""
    return hashlib.sha256(json.dumps({"schema": SCHEMA, **key_fields}, sort_keys=True).encode()).hexdigest()[:24]


class ArtifactStore:
    """Artifacts of one kind by their key fields. Any process may use the same folder at the same time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, kind: Kind) -> ArtifactStore:
        """Return this user's store of a kind; its folder may be missing, or impossible to make."""
        return cls(cache_dir(kind))

    def load(self, key_fields: Fields) -> Artifact | None:
        """Return the artifact with exactly these fields; None if there is none, or a damaged one (which is logged)."""
        manifest = self._manifest(key_fields)
        try:
            written = json.loads(read_regular(manifest, MOST_MANIFEST_BYTES))
            if written["key_fields"] != json.loads(json.dumps(key_fields)):
                raise ValueError("it was made for something else")
            files = {
                suffix: read_regular(manifest.with_suffix(suffix), MOST_FILE_BYTES) for suffix in written["sha256"]
            }
            for suffix, content in files.items():
                if hashlib.sha256(content).hexdigest() != written["sha256"][suffix]:
                    raise ValueError(f"its {suffix} file is damaged")
            return Artifact(key_fields, dict(written["metadata"]), files, manifest)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            with contextlib.suppress(OSError):
                if manifest.exists():
                    log.warning("cached %s is not used (%s); it is made again", manifest, error)
        return None

    def save(self, key_fields: Fields, metadata: Fields, files: Mapping[str, bytes] | None = None) -> Path | None:
        """Keep an artifact and return its manifest; None, after a log line, if the folder is full or not writable.

        The manifest comes last and makes the artifact valid, so a reader sees the old one, none, or the new one.

        Args:
            files: contents by suffix.
        """
        files = files or {}
        manifest = self._manifest(key_fields)
        sums = {suffix: hashlib.sha256(content).hexdigest() for suffix, content in files.items()}
        written = {"key_fields": key_fields, "metadata": metadata, "sha256": sums}
        try:
            manifest.unlink(missing_ok=True)
            for suffix, content in files.items():
                write_atomically(manifest.with_suffix(suffix), content, durable=True)
            write_atomically(manifest, json.dumps(written, indent=1), durable=True)
        except (OSError, OutputError) as error:
            reason = error.problem if isinstance(error, OutputError) else f"{manifest}: {first_line(error)}"
            log.warning("it works but is not kept: %s; free or repair %s", reason, self.folder)
            for suffix in files:  # a disk that is full gets its room back
                with contextlib.suppress(OSError):
                    manifest.with_suffix(suffix).unlink()
            return None
        return manifest

    def drop_like(self, key_fields: Fields, same: Sequence[str]) -> list[str]:
        """Delete what has other fields than these, but the same of those named: what this artifact replaces.

        Return the keys of what is gone.

        Whoever made something else of the same kind for the same place will not need it again: older weights, another
        version of the software.
        """
        own = json.loads(json.dumps(key_fields))
        gone = []
        for listed in self.entries():
            fields = listed.key_fields
            if fields and fields != own and all(fields.get(name) == own.get(name) for name in same):
                for path in self.folder.glob(f"{listed.manifest.stem}.*"):
                    with contextlib.suppress(OSError):  # open elsewhere, on Windows
                        path.unlink()
                gone.append(listed.manifest.stem)
        return gone

    @contextlib.contextmanager
    def making(self, key_fields: Fields) -> Iterator[None]:
        """Hold the lock of these fields in the body; the system frees the lock of a process that dies.

        Where the folder cannot be written there is no lock, and nothing is shared either. A process that hangs is
        waited for no longer than LOCK_LIMIT_S.
        """
        from filelock import FileLock, Timeout  # only where something is compiled

        lock = FileLock(self._manifest(key_fields).with_suffix(".lock"), timeout=LOCK_LIMIT_S)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except OSError as error:
            # where there is no room or no right, what is made is not kept, and that is told
            level = logging.WARNING if isinstance(error, Timeout) else logging.INFO
            log.log(level, "%s cannot be locked (%s); going on alone", self.folder, first_line(error))
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def entries(self) -> list[Listed]:
        """Return all artifacts, newest first; damaged manifests have no fields."""
        found = []
        for manifest in self.folder.glob("*.json"):
            try:
                written = json.loads(read_regular(manifest, MOST_MANIFEST_BYTES))
                key_fields, metadata = dict(written["key_fields"]), dict(written["metadata"])
            except (OSError, ValueError, KeyError, TypeError, RecursionError):
                key_fields, metadata = {}, {}
            with contextlib.suppress(OSError):  # cleared by someone else meanwhile
                size = sum(p.stat().st_size for p in self.folder.glob(f"{manifest.stem}.*"))
                found.append(Listed(manifest, key_fields, metadata, size, manifest.stat().st_mtime))
        return sorted(found, key=lambda entry: -entry.modified)

    def _manifest(self, key_fields: Fields) -> Path:
        return self.folder / f"{key(key_fields)}.json"


@contextlib.contextmanager
def set_aside(artifact: Artifact | None) -> Iterator[None]:
    """Hide an artifact from its store in the body, which makes it anew; if that fails, it comes back."""
    manifest = artifact.manifest if artifact is not None else None
    if manifest is None:
        yield
        return
    aside = manifest.with_name(f"{manifest.name}.aside")
    with contextlib.suppress(OSError):
        manifest.replace(aside)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            aside.replace(manifest)
        raise
    with contextlib.suppress(OSError):
        aside.unlink(missing_ok=True)
        if not manifest.exists():  # what was made has other key fields
            for path in manifest.parent.glob(f"{manifest.stem}.*"):
                path.unlink()


def clear(folder: Path) -> tuple[int, int]:
    """Delete every file below `folder` but locks, which a process may hold; return their number and their bytes."""
    files = freed = 0
    for path in sorted(folder.rglob("*"), reverse=True):
        with contextlib.suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
                continue
            if path.suffix == ".lock":
                continue
            size = path.lstat().st_size
            path.unlink()
            files, freed = files + 1, freed + size
    return files, freed


def age(seconds_since_1970: float) -> str:
    """Return the local date and minute, as lists show it."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds_since_1970))

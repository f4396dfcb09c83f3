"""Check before any work that the outputs of a run can be written, with a window or without."""

from __future__ import annotations

import glob
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from segnet_live.config import RunConfig, SourceSpec
from segnet_live.errors import OutputError, SourceError, UsageError, first_line
from segnet_live.system.files import held, partial_path, what_to_do_about
from segnet_live.video.location import is_url
from segnet_live.video.playlist import check_playlist, is_playlist

PROBE_BYTES = 1 << 16
"""What must fit into an output's folder before work starts: catches a full disk that still makes empty files."""


def check_outputs(config: RunConfig) -> None:
    """Check that every output of `config` can be written and overwrites nothing it should not; make nothing yet.

    Raises:
        UsageError: an output is the input, two outputs are one file, or something exists and --overwrite was not given.
        OutputError: a place that cannot be written.
    """
    for option, path in (("--record", config.record), ("--stats", config.stats)):
        if path is not None:
            _check_file(option, path, config)
    for option, folder in (("--masks", config.masks), ("--confidence", config.confidence)):
        if folder is not None:
            _check_folder(option, folder, config)
    check_distinct({f"--{name}": getattr(config, name) for name in ("record", "stats", "masks", "confidence")})


def check_distinct(outputs: Mapping[str, Path | None]) -> None:
    """Check that no two outputs are one place, by any spelling or link.

    Args:
        outputs: by option.

    Raises:
        UsageError: two are.
    """
    taken: dict[str, str] = {}
    for option, path in outputs.items():
        if path is not None:
            other = taken.setdefault(os.path.normcase(os.path.realpath(path)), option)
            if other != option:
                raise UsageError(f"{other} and {option} both name {path}", "give each a file or a folder of its own")


def _check_file(option: str, path: Path, config: RunConfig) -> None:
    if path.is_dir():
        raise OutputError(f"{option} {path} is a folder; name a file in it")
    for written in (path, partial_path(path)):
        if config.source and _is_input(written, config.source):
            raise UsageError(f"{option} {path} would overwrite the input {config.source.value}; choose another name")
    if not path.parent.is_dir():
        raise OutputError(f"{option} {path}: there is no folder {path.parent}; make it, or choose another place")
    if not config.overwrite:
        if path.exists():
            raise UsageError(f"{option} {path} exists already; choose another name or add --overwrite")
        if partial_path(path).exists() or partial_path(path).is_symlink():
            with held(path):  # else the run still goes on
                advice = what_to_do_about(partial_path(path)) if option == "--record" else "move it or add --overwrite"
                raise UsageError(f"{option}: {partial_path(path)} is left from an interrupted run", advice)
    with held(path):
        pass
    _probe(option, path.parent)


def _check_folder(option: str, folder: Path, config: RunConfig) -> None:
    if config.source and config.source.kind == "images" and _is_input(folder, config.source):
        raise UsageError(f"{option} {folder} is the folder the images are read from; choose another one")
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{option} {folder} is a file; name a folder")
    if folder.is_dir() and not config.overwrite and any(folder.iterdir()):
        raise UsageError(f"{option} {folder} is not empty; choose another folder or add --overwrite")
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not existing.is_dir():
        raise OutputError(f"{option} {folder}: {existing} is a file, not a folder; choose another place")
    _probe(option, existing)


def _is_input(path: Path, source: SourceSpec) -> bool:
    """Return whether `path` is the source's file, one that it names as a playlist, or a folder its images lie in."""
    if source.kind not in ("video", "images") or is_url(source.value):
        return False
    given = Path(source.value)
    places = [given]
    if source.kind == "images" and not given.is_dir():
        files = [source.value] if given.exists() else glob.glob(source.value, recursive=True)
        places = sorted({Path(file).parent for file in files})
    try:
        if source.kind == "video" and path.exists() and given.is_file() and is_playlist(given):
            places += check_playlist(given)
        return path.exists() and any(place.exists() and path.samefile(place) for place in places)
    except (OSError, SourceError):  # which opening the source tells
        return False


def _probe(option: str, folder: Path) -> None:
    """Write a small file into `folder` and delete it.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(PROBE_BYTES))
    except OSError as error:
        raise OutputError(
            f"{option}: cannot write in {folder} ({first_line(error)})", "choose another place"
        ) from error

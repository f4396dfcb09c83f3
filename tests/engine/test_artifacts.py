"""The engine cache: found by its facts or not at all, and never an error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from segnet_live.engine.artifacts import EngineCache, Facts, clear, key

FACTS: Facts = {"weights": "ab12", "size": (352, 480), "precision": "fp16", "driver": "580.1", "mean": (0.4, 0.4, 0.4)}
BLOB = bytes(range(256)) * 64


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    cache = EngineCache(tmp_path)
    assert cache.store(FACTS, BLOB, {"parity": {"overall": 0.999}})
    return cache


def test_what_was_stored_comes_back(cache: EngineCache) -> None:
    entry = cache.load(FACTS)
    assert entry is not None
    assert (entry.blob, entry.notes) == (BLOB, {"parity": {"overall": 0.999}})


@pytest.mark.parametrize("name", FACTS)
def test_any_other_fact_is_another_engine(cache: EngineCache, name: str) -> None:
    other = FACTS | {name: "other"}
    assert key(other) != key(FACTS)
    assert cache.load(other) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: next(folder.glob("*.engine")).write_bytes(BLOB[:-1] + b"x"),
        lambda folder: next(folder.glob("*.engine")).write_bytes(BLOB[:100]),
        lambda folder: next(folder.glob("*.engine")).unlink(),
        lambda folder: next(folder.glob("*.json")).write_text("{"),
        lambda folder: next(folder.glob("*.json")).write_text("[]"),
        lambda folder: next(folder.glob("*.json")).write_text(json.dumps({"facts": {}, "sha256": "", "notes": {}})),
    ],
    ids=["changed", "cut", "gone", "no JSON", "no object", "foreign"],
)
def test_damage_means_build_again_and_one_line(
    cache: EngineCache, caplog: pytest.LogCaptureFixture, damage: object
) -> None:
    damage(cache.folder)  # type: ignore[operator]
    assert cache.load(FACTS) is None
    assert len(caplog.records) == 1
    assert "building again" in caplog.text
    assert cache.store(FACTS, BLOB, {})
    assert cache.load(FACTS) is not None


def test_absence_is_no_news(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert EngineCache(tmp_path).load(FACTS) is None
    assert not caplog.records


def test_an_interrupted_write_leaves_no_entry(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    written = os.replace

    def fails_at_the_manifest(source: str, target: Path) -> None:
        if str(target).endswith(".json"):
            raise OSError(28, "No space left on device")
        written(source, target)

    monkeypatch.setattr(os, "replace", fails_at_the_manifest)
    assert not cache.store(FACTS, b"newer", {})
    assert cache.load(FACTS) is None
    assert not list(cache.folder.glob("*.partial"))


def test_a_folder_that_cannot_be_written_costs_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = EngineCache(tmp_path / "gone")
    assert not cache.store(FACTS, BLOB, {})
    assert len(caplog.records) == 1
    assert "not kept" in caplog.text
    with cache.building(FACTS):
        pass


def test_two_processes_never_build_the_same_engine_at_once(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from segnet_live.engine.artifacts import EngineCache\n"
        f"with EngineCache(Path({str(tmp_path)!r})).building({FACTS!r}):\n"
        "    print('inside', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline().strip() == b"inside"
    entered = threading.Event()

    def enter() -> None:
        with EngineCache(tmp_path).building(FACTS):
            entered.set()

    thread = threading.Thread(target=enter)
    thread.start()
    assert not entered.wait(0.2)
    other.kill()  # a crash frees the lock, too
    other.communicate()
    assert entered.wait(30)
    thread.join()


def test_entries_are_listed_with_damage_shown(cache: EngineCache) -> None:
    cache.store(FACTS | {"precision": "fp32"}, BLOB, {})
    next(cache.folder.glob("*.json")).write_text("{")
    precisions = {entry.facts.get("precision") for entry in cache.entries()}
    assert len(cache.entries()) == 2
    assert None in precisions
    assert all(entry.size_bytes > len(BLOB) for entry in cache.entries())


def test_clear_deletes_everything_below(cache: EngineCache) -> None:
    (cache.folder / "deeper").mkdir()
    (cache.folder / "deeper" / "x").write_bytes(b"12")
    files, freed = clear(cache.folder)
    assert (files, list(cache.folder.iterdir())) == (3, [])
    assert freed > len(BLOB)

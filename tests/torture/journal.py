"""Cases by number and seed, and a journal of their results: a long run goes on where it was stopped.

A case is one try: `random.Random` of test, seed and number decides everything about it, so that it can be tried again
alone. Results are lines of JSON in SEGNET_LIVE_TORTURE (else ./torture-results); SEGNET_LIVE_TORTURE_SEED (1) chooses
other cases, SEGNET_LIVE_TORTURE_N fewer or more.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Facts = Mapping[str, Any]
"""What came of a case; "problem" is "" if all was well."""


def folder() -> Path:
    return Path(os.environ.get("SEGNET_LIVE_TORTURE", "torture-results"))


def seed() -> int:
    return int(os.environ.get("SEGNET_LIVE_TORTURE_SEED", "1"))


def dice(name: str, number: int, of_seed: int | None = None) -> random.Random:
    """The random numbers of one case."""
    return random.Random(f"{name}/{seed() if of_seed is None else of_seed}/{number}")


def results(name: str) -> dict[int, dict[str, Any]]:
    """Results so far by case number, of this seed."""
    found: dict[int, dict[str, Any]] = {}
    path = folder() / f"{name}-{seed()}.jsonl"
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.endswith("}"):  # else it was cut off by a kill
                facts = json.loads(line)
                found[facts["case"]] = facts
    return found


def run_long(name: str, asked: int, run: Callable[[int, random.Random], Facts]) -> None:
    """Run the cases that are not in the journal yet, and fail with those that had a problem."""
    asked = int(os.environ.get("SEGNET_LIVE_TORTURE_N", asked))
    folder().mkdir(parents=True, exist_ok=True)
    done = results(name)
    with (folder() / f"{name}-{seed()}.jsonl").open("a", encoding="utf-8") as journal:
        for number in range(asked):
            if number in done:
                continue
            began_s = time.monotonic()
            facts = dict(run(number, dice(name, number)))
            facts |= {"case": number, "seconds": round(time.monotonic() - began_s, 3), "asked": asked}
            print(json.dumps(facts), file=journal, flush=True)
            done[number] = facts
    problems = [f"case {number}: {facts['problem']}" for number, facts in sorted(done.items()) if facts["problem"]]
    assert not problems, f"{len(problems)} of {len(done)}: " + "\n".join(problems[:20])


def table() -> list[str]:
    """Lines of a table of all journals: test, seed, cases, problems, and the largest of each figure."""
    lines = []
    for path in sorted(folder().glob("*.jsonl")) if folder().is_dir() else ():
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
        if not rows:
            continue
        name, _, of_seed = path.stem.rpartition("-")
        figures: dict[str, float] = {}
        for row in rows:
            for key, value in row.items():
                if isinstance(value, float):
                    figures[key] = max(value, figures.get(key, value))
        worst = ", ".join(f"{key} {value:.3g}" for key, value in figures.items())
        count = len({row["case"] for row in rows})
        bad = len({row["case"] for row in rows if row["problem"]})
        lines.append(f"{name:<12} seed {of_seed}  {count} of {rows[-1]['asked']} cases, {bad} problems; most: {worst}")
    return lines

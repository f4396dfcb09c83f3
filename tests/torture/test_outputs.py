"""A disk that is full, broken or read-only from any call on: one line, earlier files as they were, and it goes on."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from segnet_live.card import Card
from segnet_live.ui.settings import load_settings
from tests.support.clips import Clip, make
from tests.torture.instances import hammer
from tests.torture.journal import Facts, run_long, seed
from tests.torture.mutation import context

SHORT = 24

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or shutil.which("cc") is None, reason="needs Linux and a C compiler"
)


@pytest.fixture(scope="module")
def try_case(tmp_path_factory: pytest.TempPathFactory, tiny_card: Card) -> Iterator[Callable[[int, int], Facts]]:
    folder = tmp_path_factory.mktemp("full")
    library, work = folder / "full_disk.so", folder / "work"
    source = Path(__file__).with_name("full_disk.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    clip = make(folder, Clip(audio="aac"))
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.torture.outputs", clip, str(tiny_card.folder), str(work)],
        env=os.environ | {"LD_PRELOAD": str(library)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    sent, received = child.stdin, child.stdout

    def ask(number: int, of_seed: int) -> Facts:
        print(number, of_seed, file=sent, flush=True)
        answer = received.readline()
        assert answer, f"the process died with {child.wait(10)} in case {number}"
        facts: Facts = json.loads(answer)
        return facts

    yield ask
    sent.close()
    child.wait(30)
    received.close()


def test_whatever_fails_nothing_good_is_lost(try_case: Callable[[int, int], Facts]) -> None:
    facts = [try_case(number, 1) for number in range(SHORT)]
    assert [f for f in facts if f["problem"]] == []
    assert len({f["kind"] for f in facts}) == 5


def test_two_instances_share_a_cache_and_a_settings_file(tmp_path: Path) -> None:
    ends = [context.Pipe() for _ in range(2)]
    processes = [
        context.Process(target=hammer, args=(tmp_path, mark, 60, theirs)) for mark, (_, theirs) in enumerate(ends)
    ]
    for process in processes:
        process.start()
    assert [ours.recv() for ours, _ in ends] == [[], []]
    for process in processes:
        process.join()
    assert not load_settings(tmp_path / "settings.json")[1]


@pytest.mark.torture
@pytest.mark.timeout(0)
def test_a_thousand_failing_writes(try_case: Callable[[int, int], Facts]) -> None:
    def one(number: int, dice: random.Random) -> Facts:
        return try_case(number, seed())

    run_long("outputs", 1000, one)

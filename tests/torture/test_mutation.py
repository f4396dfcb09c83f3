"""Damaged inputs of every kind: exit code 0 or 2, one line, no hang, little memory, nothing else written."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from segnet_live.card import Card
from tests.torture import mutants
from tests.torture.journal import Facts, dice, folder, run_long
from tests.torture.mutation import Mutation

SHORT = 60


@pytest.fixture(scope="module")
def mutation(tmp_path_factory: pytest.TempPathFactory, tiny_card: Card) -> Iterator[Mutation]:
    good = tmp_path_factory.mktemp("good")
    mutants.sources(good)
    found = Mutation(good, tiny_card.folder, folder() / "kept")
    yield found
    found.victim.end()


def test_damaged_inputs_are_one_line_or_played(mutation: Mutation, tmp_path: Path) -> None:
    mutation.kept = tmp_path / "kept"
    facts = [mutation.case(n, dice("mutation-short", n, 1), tmp_path / "work") for n in range(SHORT)]
    assert [f for f in facts if f["problem"]] == []


@pytest.mark.torture
@pytest.mark.timeout(0)
def test_ten_thousand_damaged_inputs(mutation: Mutation, tmp_path: Path) -> None:
    def one(number: int, dice: random.Random) -> Facts:
        return mutation.case(number, dice, tmp_path / "work")

    run_long("mutation", 10_000, one)

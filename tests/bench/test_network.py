"""Parameters and operations against the figures known from the paper's networks, and Table 6's columns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from segnet_live.bench import engines
from segnet_live.bench.measure import Timing
from segnet_live.bench.memory import EngineMemory, engine_memory, in_own_process
from segnet_live.bench.network import PaperRow, gflop, paper_row, paper_subjects, parameters
from segnet_live.bench.tables import paper_table
from segnet_live.card import Card
from segnet_live.engine.eager import EagerEngine
from segnet_live.errors import EngineError
from segnet_live.nets.networks import NETWORKS


@pytest.mark.parametrize(
    ("name", "count", "operations"), [("segnet", 29_441_419, 213), ("segnet-basic", 1_416_075, 118)]
)
def test_the_papers_networks_count_as_published(name: str, count: int, operations: float) -> None:
    network = NETWORKS[name](11)
    assert parameters(network) == count
    assert gflop(network, (360, 480)) == pytest.approx(operations, rel=0.01)


def test_operations_follow_the_size() -> None:
    assert gflop(NETWORKS["segnet-fast"](11), (64, 64)) == pytest.approx(
        4 * gflop(NETWORKS["segnet-fast"](11), (32, 32)), rel=0.01
    )


def test_table_6_has_every_column(tiny_card: Card) -> None:
    row = paper_row(tiny_card, (32, 48))
    assert row.forward_ms > 0
    assert row.backward_ms > 0
    assert row.training_mib >= row.inference_mib >= 0
    assert row.trained
    assert row.model_mib == pytest.approx(tiny_card.weights_path.stat().st_size / 2**20)


def test_table_6_has_every_network_once_with_random_weights_where_none_are_installed(tiny_card: Card) -> None:
    subjects = paper_subjects([tiny_card])
    assert subjects[0] is tiny_card
    assert {tiny_card.architecture, *subjects[1:]} == set(NETWORKS)
    assert len(subjects) == len(NETWORKS)
    row = paper_row("fcn-basic", (32, 48))
    assert (row.trained, row.model_mib, row.storage_multiplier) == (False, None, 11)
    table = paper_table([row, paper_row(tiny_card, (32, 48))], [("fcn", "it was killed")])
    assert [cells[:2] for cells in table.rows] == [("fcn-basic", "random"), ("tiny", "trained")]
    assert table.notes[-1] == "fcn left out: it was killed"


def test_the_papers_figures_stand_beside_ours() -> None:
    one = PaperRow(
        "mine", "segnet", True, "cpu", 2, (360, 480), 10, 1234.56, 2000.0, 3000.0, 400.0, 29_441_419, 1, 28.3
    )  # fmt: skip
    small = replace(one, model="fcn-basic", architecture="fcn-basic", trained=False, storage_multiplier=11)
    tables = (paper_table([row]) for row in (one, small))
    large, small_cells = (dict(zip(table.columns, table.rows[0], strict=True)) for table in tables)
    assert large["forward ms"] == "1234.6 (422.5)"
    assert (large["backward ms"], large["training MiB"]) == ("2000.0 (488.71)", "3000 (6803)")
    assert (large["inference MiB"], large["fp32 MB"], large["file MiB"]) == ("400 (1052)", "117.8 (117)", "28.3")
    assert (small_cells["forward ms"], small_cells["backward ms"]) == ("1234.6 (24.2)", "2000.0")
    assert (small_cells["storage multiplier"], small_cells["parameters M"]) == ("11 (11)", "29.441 (0.65)")


def test_a_slow_network_is_averaged_over_fewer_iterations() -> None:
    assert paper_row("segnet-2015", (32, 48), seconds=0).n == 3
    assert paper_row("segnet-2015", (32, 48)).n == 10


def _die() -> None:
    import os

    os._exit(9)


@pytest.mark.timeout(120)
def test_memory_is_measured_in_a_process_of_its_own_and_a_killed_one_is_told(tiny_card: Card) -> None:
    memory = in_own_process(engine_memory, tiny_card, "openvino", (32, 32), "fp32")
    assert isinstance(memory, EngineMemory)
    assert 1 < memory.process_mib < 4096
    with pytest.raises(EngineError, match="want of memory"):
        in_own_process(_die)


def test_a_gpu_too_full_to_measure_memory_on_keeps_the_times(tiny_card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finding B5: all contenders lie in the GPU's memory while a child opens one of them once more."""

    def full(*_: object) -> None:
        raise EngineError("the GPU is out of memory")

    monkeypatch.setattr(engines, "in_own_process", full)
    engine = EagerEngine(tiny_card, (32, 48), device="cpu")
    contender = engines._Contender(engine, tiny_card, 1, 1.0, 1.0)
    missing: list[tuple[str, str]] = []
    frame = np.zeros((64, 96, 3), np.uint8)
    row = engines._row(contender, Timing.of([2.0]), engines.Plan((tiny_card,), ()), [frame], missing)
    engine.close()
    assert (row.inference.p50, row.memory) == (2.0, None)
    assert missing == [("memory of tiny on torch fp32", "the GPU is out of memory")]

"""What the inference step does for its process."""

from __future__ import annotations

import gc

from segnet_live.pipeline.inference import freeze_libraries


def test_garbage_of_an_earlier_run_in_this_process_is_not_kept_by_the_next() -> None:
    freeze_libraries()
    frozen = gc.get_freeze_count()
    kept: list[object] = [[number] for number in range(1000)]
    freeze_libraries()
    assert gc.get_freeze_count() == frozen
    assert len(kept) == 1000

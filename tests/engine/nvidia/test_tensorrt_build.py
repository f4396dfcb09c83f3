"""Building in a child process: real processes, stand-ins for TensorRT and GPU."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from segnet_live.card import Card
from segnet_live.engine.artifacts import ENGINE, Artifact, ArtifactStore
from segnet_live.engine.nvidia import build_process, tensorrt_build
from segnet_live.engine.nvidia.device import Cancelled
from segnet_live.errors import EngineError
from segnet_live.nets.load import load_network
from segnet_live.nets.pooling import MASK
from tests.support import stand_ins
from tests.support.cards import write_card

SIZE = (32, 48)


def child(mode: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "tests.support.stand_ins", mode)


TOOLS = stand_ins.tools()
FORMS = ("nearest", "slices", "resize")


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    (tmp_path / "cache").mkdir()
    return ArtifactStore(tmp_path / "cache")


def made(card: Card, store: ArtifactStore, mode: str = "well", cancel: threading.Event | None = None) -> Artifact:
    return build_process.build_in_child(card, SIZE, "fp16", cancel or threading.Event(), store, child(mode), TOOLS)


def test_the_engine_is_checked_and_kept(tiny_card: Card, store: ArtifactStore) -> None:
    assert tensorrt_build.find(tiny_card, SIZE, "fp16", store, TOOLS) is None
    entry = made(tiny_card, store)
    assert entry.files[ENGINE] == b"mask"
    assert entry.metadata["parity"]["overall"] > 0.995
    assert len(entry.metadata["parity"]["per_class"]) == len(tiny_card.classes)
    assert tensorrt_build.find(tiny_card, SIZE, "fp16", store, TOOLS) == entry
    assert tensorrt_build.find(tiny_card, SIZE, "fp32", store, TOOLS) is None


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("crash", "ended by signal 6"),
        ("memory", "the GPU is out of memory"),
        ("assert", "Torch not compiled with CUDA enabled"),
        ("wrong", r"agrees with fp32 eager on \d+.\d+% of pixels"),
    ],
)
def test_a_child_that_fails_harms_nobody_and_says_why(
    tiny_card: Card, store: ArtifactStore, mode: str, said: str
) -> None:
    with pytest.raises(EngineError, match=said):
        made(tiny_card, store, mode)
    assert tensorrt_build.find(tiny_card, SIZE, "fp16", store, TOOLS) is None


def test_a_child_that_crashes_after_its_work_has_done_it(tiny_card: Card, store: ArtifactStore) -> None:
    assert made(tiny_card, store, "late").files[ENGINE] == b"mask"


def test_a_pooling_form_that_cannot_be_built_leaves_the_other(tmp_path: Path, store: ArtifactStore) -> None:
    entry = made(write_card(tmp_path / "basic", "segnet-basic"), store, "resize")
    assert entry.files[ENGINE] == b"resize"


def test_cancelling_ends_the_child(tiny_card: Card, store: ArtifactStore) -> None:
    cancel = threading.Event()
    ended: list[BaseException] = []

    def building() -> None:
        try:
            made(tiny_card, store, "hang", cancel)
        except Cancelled as error:
            ended.append(error)

    thread = threading.Thread(target=building)
    thread.start()
    cancel.set()
    thread.join(30)
    assert [type(error) for error in ended] == [Cancelled]


def test_the_child_ends_with_its_parent(tiny_card: Card, store: ArtifactStore, tmp_path: Path) -> None:
    request = {"card": str(tiny_card.folder), "size": SIZE, "precision": "fp16", "store": str(store.folder)}
    process = subprocess.Popen(
        [*child("hang"), json.dumps({**request, "scratch": str(tmp_path)})],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(600):
        if (tmp_path / "hangs").exists():
            break
        time.sleep(0.1)
    assert process.poll() is None
    assert process.stdin is not None
    process.stdin.close()  # as happens when the parent is killed
    assert process.wait(30) == 1


def test_a_cache_that_cannot_be_written_still_gives_an_engine(tiny_card: Card, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    entry = made(tiny_card, ArtifactStore(tmp_path / "file" / "nowhere"))
    assert entry.files[ENGINE] == b"mask"


def test_what_another_process_built_meanwhile_is_taken(tiny_card: Card, store: ArtifactStore, tmp_path: Path) -> None:
    built: list[Path] = []

    def convert(deploy: object, size: object, timing: Path) -> bytes:
        built.append(timing)
        return b"mask"

    tools = replace(TOOLS, convert=convert)
    threads = [
        threading.Thread(target=tensorrt_build.build, args=(tiny_card, SIZE, "fp16", store, tmp_path, tools))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(built) == 1
    assert tensorrt_build.find(tiny_card, SIZE, "fp16", store, TOOLS) is not None


def test_the_fastest_of_equal_forms_is_kept(
    tmp_path: Path, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = write_card(tmp_path / "basic", "segnet-basic")
    monkeypatch.setattr(tensorrt_build, "_frame_ms", lambda *_: [2.0, 3.0, 1.0])
    tensorrt_build.build(card, SIZE, "fp32", store, tmp_path, TOOLS)
    entry = tensorrt_build.find(card, SIZE, "fp32", store, TOOLS)
    assert entry is not None
    assert (entry.files[ENGINE], entry.key_fields["pooling"], entry.metadata["frame_ms"]) == (b"resize", "resize", 1.0)


@pytest.mark.parametrize(
    "tools",
    [stand_ins.tools(broken=("nearest", "slices")), stand_ins.tools(wrong=("nearest", "slices"))],
    ids=["does not load", "is wrong"],
)
def test_a_faster_form_that_cannot_be_used_leaves_the_slower_correct_one(
    tmp_path: Path, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch, tools: tensorrt_build.Toolchain
) -> None:
    card = write_card(tmp_path / "basic", "segnet-basic")
    monkeypatch.setattr(tensorrt_build, "_frame_ms", lambda engines, *_: [1.0, 1.5, 2.0][: len(engines)])
    tensorrt_build.build(card, SIZE, "fp32", store, tmp_path, tools)
    entry = tensorrt_build.find(card, SIZE, "fp32", store, tools)
    assert entry is not None
    assert entry.key_fields["pooling"] == "resize"


def test_where_no_form_can_be_used_the_reason_is_named(tmp_path: Path, store: ArtifactStore) -> None:
    card = write_card(tmp_path / "basic", "segnet-basic")
    with pytest.raises(EngineError, match=r"TensorRT cannot build basic \(resize\): TensorRT cannot read the engine"):
        tensorrt_build.build(card, SIZE, "fp32", store, tmp_path, stand_ins.tools(broken=FORMS))
    with pytest.raises(EngineError, match="agrees with fp32 eager"):
        tensorrt_build.build(card, SIZE, "fp32", store, tmp_path, stand_ins.tools(wrong=FORMS))
    assert tensorrt_build.find(card, SIZE, "fp32", store, TOOLS) is None


@pytest.mark.parametrize("change", ["weights", "gpu", "software", "graph", "options"])
def test_a_stale_engine_is_not_found(
    tiny_card: Card, store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    tensorrt_build.build(tiny_card, SIZE, "fp32", store, tmp_path, TOOLS)
    assert tensorrt_build.find(tiny_card, SIZE, "fp32", store, TOOLS) is not None
    card, tools = tiny_card, TOOLS
    if change == "weights":
        card = write_card(tmp_path / "tiny", seed=1)
    elif change == "gpu":
        tools = replace(TOOLS, gpu=lambda: stand_ins.GPU("another GPU", "0.0", "13.0", "580.00"))
    elif change == "software":
        tools = replace(TOOLS, versions=lambda: stand_ins.SOFTWARE | {"tensorrt": "1"})
    elif change == "graph":
        monkeypatch.setattr(tensorrt_build, "GRAPH_REVISION", tensorrt_build.GRAPH_REVISION + 1)
    else:
        monkeypatch.setattr(tensorrt_build, "OPTIONS", tensorrt_build.OPTIONS | {"optimization_level": 5})
    assert tensorrt_build.find(card, SIZE, "fp32", store, tools) is None


def test_an_update_of_the_driver_keeps_engines_and_newer_ones_replace_those_of_older_software(
    tiny_card: Card, store: ArtifactStore, tmp_path: Path
) -> None:
    tensorrt_build.build(tiny_card, SIZE, "fp32", store, tmp_path, TOOLS)
    updated = replace(TOOLS, gpu=lambda: stand_ins.GPU("no GPU at all", "0.0", "13.0", "581.00"))
    assert tensorrt_build.find(tiny_card, SIZE, "fp32", store, updated) is not None
    newer = replace(TOOLS, versions=lambda: stand_ins.SOFTWARE | {"tensorrt": "12"})
    tensorrt_build.build(tiny_card, SIZE, "fp32", store, tmp_path, newer)
    tensorrt_build.build(tiny_card, SIZE, "fp16", store, tmp_path, newer)
    assert tensorrt_build.find(tiny_card, SIZE, "fp32", store, TOOLS) is None
    assert sorted(entry.key_fields["precision"] for entry in store.entries()) == ["fp16", "fp32"]


def test_forms_are_timed_in_turns_on_a_device_at_speed() -> None:
    order: list[str] = []

    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

        def segment(self, rgb: object) -> None:
            order.append(self.name)

    tensorrt_build._frame_ms([Named("a"), Named("b")], SIZE, 3, 0.0)  # type: ignore[list-item]
    assert order == ["a", "b"] * 3
    order.clear()
    tensorrt_build._frame_ms([Named("a")], SIZE, 1, 0.01)  # type: ignore[list-item]
    assert len(order) > 2


def test_a_child_that_hangs_gives_others_their_turn(
    tiny_card: Card, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_process, "LIMIT_S", 0.0)
    with pytest.raises(EngineError, match="failed: it took longer than 0 minutes"):
        made(tiny_card, store, "hang")
    assert not build_process._ONE.locked()


def test_one_child_builds_at_a_time(tiny_card: Card, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    cancel = threading.Event()
    started: list[object] = []
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(a) or real(*a, **k))

    def building() -> None:
        with contextlib.suppress(Cancelled):
            made(tiny_card, store, "hang", cancel)

    threads = [threading.Thread(target=building) for _ in range(2)]
    for thread in threads:
        thread.start()
    while not started:
        time.sleep(0.01)
    time.sleep(3 * build_process.POLL_S)  # the second has had its chance
    assert len(started) == 1
    cancel.set()
    for thread in threads:
        thread.join(30)
    assert len(started) == 1


def test_a_child_s_own_line_counts_and_not_what_a_library_says_after_it(tmp_path: Path) -> None:
    said = tmp_path / "messages"
    said.write_text("segnet-live: the GPU is out of memory\nINFO: Converted node /aten/convolution_3\n")
    with said.open() as messages:
        assert build_process._reason(messages, 3221225477) == "the GPU is out of memory"
    said.write_text("INFO: Converted node /aten/convolution_3\n")
    with said.open() as messages:
        assert build_process._reason(messages, 3221225477) == "its process ended with code 3221225477"


def test_inductor_s_cache_is_filled_in_a_child_and_its_failure_is_named(tiny_card: Card) -> None:
    code = "import sys; print('segnet-live: no C compiler', file=sys.stderr); sys.exit(2)"
    build_process.warm_in_child(tiny_card, SIZE, "fp16", threading.Event(), (sys.executable, "-c", ""))
    with pytest.raises(EngineError, match="compiling in a child process failed: no C compiler"):
        build_process.warm_in_child(tiny_card, SIZE, "fp16", threading.Event(), (sys.executable, "-c", code))


def test_precisions_that_cannot_be_built_are_named(tiny_card: Card) -> None:
    with pytest.raises(EngineError, match="no precision 'bf16'"):
        tensorrt_build.precision_of("bf16")
    form = tensorrt_build.forms_for(MASK, "tensorrt")[0]
    with pytest.raises(EngineError, match="no int8 ranges on its card; use --precision fp16"):
        tensorrt_build.deployed(tiny_card, load_network(tiny_card), "int8", form)

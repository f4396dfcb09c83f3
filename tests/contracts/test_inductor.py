"""Inductor's GPU code for our networks: how often it launches, what it moves, and that its labels are right."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path

import pytest

from tests.contracts.conftest import FULL
from tests.support.cards import write_card

pytestmark = [pytest.mark.contract, pytest.mark.timeout(400)]

HERE = Path(__file__).resolve().parent
BYTES = {"float16": 2, "float32": 4, "uint8": 1, "int64": 8, "int32": 4, "bool": 1, "int8": 1}


@dataclass(frozen=True)
class Expected:
    """What a network may cost per frame: launches of convolutions and of kernels, MB that the kernels move.

    A ratchet: lower a figure that has fallen, raise none.
    """

    size: tuple[int, int]
    convolutions: int
    kernels: int
    megabytes: int


EXPECTED = {
    "segnet-fast": Expected((360, 480), 19, 26, 56),
    "segnet-basic": Expected((240, 320), 9, 10, 68),
    "segnet": Expected((256, 352), 26, 31, 186),
}


@cache
def written(name: str, size: tuple[int, int]) -> str:
    guard = HERE.parents[1] / ".ci" / "contracts" / "lib" / "guard.so"
    if not guard.is_file():
        pytest.skip("needs its own environment and a C++ compiler: python tests/contracts/run.py")
    path = guard.parent / f"{name}-{size[0]}x{size[1]}.txt"
    child("write", name, f"{size[0]}x{size[1]}", str(path), str(guard))
    return path.read_text()


def child(*arguments: str) -> str:
    return run_script("gpu_code.py", *arguments)


def run_script(name: str, *arguments: str, **environment: str) -> str:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("TORCHINDUCTOR", "TRITON"))}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(HERE / name), *arguments],
        env=inherited | environment | {"PYTHONPATH": os.pathsep.join((str(HERE.parents[1]), os.environ["PYTHONPATH"]))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text))


def moved_mb(code: str) -> float:
    """Megabytes that the kernels outside convolutions read and write per frame."""
    body = code[code.index("def call(") : code.index("runner = Runner") if "runner = Runner" in code else None]
    sizes = {}
    for name, shape, kind in re.findall(
        r"(arg\d+_1) = rand_strided\((\([^)]*\)), \([^)]*\), device='cuda:0', dtype=torch\.(\w+)\)", code
    ):
        sizes[name] = prod(numbers(shape)) * BYTES[kind]
    total = 0
    for line in map(str.strip, body.splitlines()):
        if made := re.match(r"(buf\d+) = empty_strided_cuda\((\([^)]*\)), \([^)]*\), torch\.(\w+)\)", line):
            sizes[made[1]] = prod(numbers(made[2])) * BYTES[made[3]]
        elif made := re.match(r"(buf\d+) = (?:reinterpret_tensor\()?(buf\d+)(?:, \(|; del)", line):
            sizes[made[1]] = sizes[made[2]]
        elif made := re.match(r"assert_size_stride\((buf\d+), (\([^)]*\)), \([^)]*\), 'torch.ops.aten.conv", line):
            sizes[made[1]] = prod(numbers(made[2])) * 2
        elif made := re.match(r"(triton_\w+)\.run\((.*), stream", line):
            found = re.search(r"def " + re.escape(made[1]) + r"\(([^)]*)\)", code)
            assert found is not None
            given = zip(found[1].split(","), (name.strip() for name in made[2].split(",")), strict=False)
            total += sum(sizes[name] * (2 if "in_out" in role else 1) for role, name in given if name in sizes)
    return total / 1e6


@pytest.mark.parametrize("name", [name for name in EXPECTED if FULL or name != "segnet-basic"])
def test_launches_copies_and_traffic_of_a_frame(name: str) -> None:
    expected = EXPECTED[name]
    code = written(name, expected.size)
    body = code[code.index("def call(") :]
    launched = re.findall(r"(triton_\w+)\.run\(", body)
    assert len(re.findall(r"extern_kernels\.convolution\(", body)) == expected.convolutions
    assert set(re.findall(r"extern_kernels\.(\w+)\(|torch\.ops\.aten\.(\w+)\.default\(", body)) == {("convolution", "")}
    copies = r"triton_poi_fused_(?:clone|permute|view|_to_copy|convolution|_|\d)+"  # nothing but another layout
    assert [kernel for kernel in launched if re.fullmatch(copies, kernel)] == []
    buffers = re.findall(r"empty_strided_cuda\((\([^)]*\)), (\([^)]*\)), torch\.float16\)", body)
    layouts = {numbers(strides)[1] for shape, strides in buffers if len(numbers(shape)) == 4 and numbers(shape)[1] > 1}
    assert layouts <= {1}, "an activation that is not channels-last"
    measured = (len(launched), round(moved_mb(code)))
    assert measured[0] <= expected.kernels
    assert measured[1] <= expected.megabytes


@pytest.mark.parametrize("name", ["segnet-fast", "segnet", *(["segnet-basic"] if FULL else [])])
def test_its_labels_are_those_of_fp32_eager_on_shipped_weights(name: str, tmp_path: Path) -> None:
    size = EXPECTED[name].size
    path = tmp_path / "code.txt"
    path.write_text(written(name, size))
    said = child("run", name, f"{size[0]}x{size[1]}", str(path), "8" if FULL else "1")
    assert float(said.split()[-1]) >= 0.995


def test_a_process_finds_in_the_cache_what_its_child_has_compiled(tmp_path: Path) -> None:
    card = write_card(tmp_path / "tiny")
    said = run_script("child_first.py", str(card.folder), XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert json.loads(said.splitlines()[-1]) == {"hit": 1, "miss": 0}

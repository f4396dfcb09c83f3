"""Make the environment of the converter contract tests and run them in it: `python tests/contracts/run.py`.

Three packages run on a machine without a GPU, unpacked into a folder of their own (never into the environment this is
started from, whose torch they use): TensorRT-RTX as it is, with NVIDIA's builder; TensorRT's bindings, which link
against `stub.c`, while `shim/` puts a recorder where TensorRT would build; and Triton, for Inductor's GPU code and its
interpreter. `--full` builds every network, form, size and precision. Other arguments go to pytest.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FOLDER = ROOT / ".ci" / "contracts"
TORCH = "2.13."
RTX = "1.7.1.116"
WHEELS = (
    "tensorrt-cu13-bindings==11.0.0.114",
    *(f"tensorrt-rtx-cu13{part}=={RTX}" for part in ("", "-bindings", "-libs")),
    "triton==3.7.0",
)
LIBRARIES = ("libnvinfer.so.11", "libnvinfer_plugin.so.11", "libnvonnxparser.so.11")


def make(folder: Path) -> None:
    """Fill `folder` unless it already holds this very set; a half-made one never appears under that name."""
    stamp = " ".join((sys.version.split()[0], "2", *WHEELS))
    mark = folder / "made-of.txt"
    if mark.is_file() and mark.read_text() == stamp:
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        fresh = Path(scratch) / "env"
        site, libraries = fresh / "site", fresh / "lib"
        libraries.mkdir(parents=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), *WHEELS]
        subprocess.run(pip, check=True)
        first = libraries / LIBRARIES[0]
        subprocess.run(["cc", "-shared", "-fPIC", "-w", "-o", str(first), str(HERE / "stub.c")], check=True)
        for name in LIBRARIES[1:]:
            shutil.copy(first, libraries / name)
        _guard(libraries / "guard.so")
        (fresh / "made-of.txt").write_text(stamp)
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)


def _guard(library: Path) -> None:
    """Compile the device guard for Inductor's GPU code; without a C++ compiler those tests skip themselves."""
    import torch
    from torch.utils.cpp_extension import include_paths

    compiler = shutil.which("c++")
    if compiler is None:
        return
    folder = Path(torch.__file__).parent / "lib"
    command = [compiler, "-shared", "-fPIC", "-std=c++20", "-w", "-o", str(library), str(HERE / "guard.cpp")]
    subprocess.run([*command, *(f"-I{path}" for path in include_paths()), f"-L{folder}", "-lc10"], check=True)


def main(options: list[str]) -> int:
    import torch

    if not torch.__version__.startswith(TORCH):
        print(f"converter contract tests need torch {TORCH}x, this is {torch.__version__}", file=sys.stderr)
        return 2
    make(FOLDER)
    paths = [str(HERE / "shim"), str(FOLDER / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    if "--full" in options:
        options.remove("--full")
        environment["SEGNET_LIVE_CONTRACTS"] = "full"
    libraries = [str(FOLDER / "lib"), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    environment["LD_LIBRARY_PATH"] = os.pathsep.join(libraries)
    pytest = [sys.executable, "-m", "pytest", "-m", "contract", str(HERE), *options]
    return subprocess.run(pytest, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`segnet-live cache`: list the compiled engines that are kept on this machine, or delete them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from segnet_live.config import format_size
from segnet_live.paths import cache_dir

MIB = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "clear"), help="show what is kept, or delete it")


def run(arguments: argparse.Namespace) -> int:
    """Show or delete; what is deleted is compiled again when it is next needed."""
    from segnet_live.engine.artifacts import clear

    console = Console(highlight=False)
    folder = cache_dir()
    if arguments.action == "clear":
        files, freed = clear(folder)
        console.print(f"deleted {files} files, {freed / MIB:.1f} MiB, from {folder}")
        return 0
    rows = _tensorrt() + _openvino()
    if not rows:
        console.print(f"nothing is kept in {folder}")
        return 0
    table = Table(title=f"engines in {folder}", title_justify="left")
    for column in ("backend", "model", "input (HxW)", "precision", "for", "MiB", "made", "parity"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    return 0


def _tensorrt() -> list[tuple[str, ...]]:
    from segnet_live.engine.artifacts import EngineCache, age

    rows: list[tuple[str, ...]] = []
    for entry in EngineCache().entries():
        facts, size = entry.facts, entry.facts.get("size")
        parity = entry.notes.get("parity", {}).get("overall")
        rows.append(
            (
                "tensorrt",
                str(facts.get("model", "damaged")),
                format_size(size) if size else "",
                str(facts.get("precision", "")),
                f"{facts['name']}, TensorRT {facts['tensorrt']}" if "tensorrt" in facts else "",
                f"{entry.size_bytes / MIB:.1f}",
                age(entry.modified),
                f"{parity:.2%}" if parity is not None else "",
            )
        )
    return rows


def _openvino() -> list[tuple[str, ...]]:
    """List converted models; OpenVINO's own compiled forms of them lie in one folder and are counted together."""
    from segnet_live.engine.artifacts import age

    folder = cache_dir("openvino")
    rows: list[tuple[str, ...]] = []
    for manifest in sorted(folder.glob("*.json")):
        try:
            written = json.loads(manifest.read_bytes())
            name, (height, width) = str(written["card"]), written["size"]
            size = format_size((height, width))
        except (OSError, ValueError, KeyError, TypeError):
            name, size = "damaged", ""
        used = _used(folder.glob(f"{manifest.stem}.*"))
        rows.append(("openvino", name, size, "any", "this CPU", f"{used / MIB:.1f}", age(manifest.stat().st_mtime), ""))
    compiled = list((folder / "compiled").glob("*"))
    if compiled:
        newest = max(path.stat().st_mtime for path in compiled)
        used = _used(compiled)
        rows.append(("openvino", "compiled forms", "", "", "this CPU", f"{used / MIB:.1f}", age(newest), ""))
    return rows


def _used(files: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in files)

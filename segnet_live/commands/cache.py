"""`segnet-live cache`: list the compiled engines and indexes that are kept on this machine, or delete them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from segnet_live.config import format_size
from segnet_live.system.paths import cache_dir

if TYPE_CHECKING:
    from segnet_live.engine.artifacts import Kind, Listed

MIB = 1 << 20
BACKENDS: tuple[Kind, ...] = ("tensorrt", "tensorrt-rtx", "openvino")


COLUMNS = ("backend", "model", "input (HxW)", "precision", "for", "MiB", "made", "parity")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "clear"), help="show what is kept, or delete it")
    parser.add_argument("--json", action="store_true", help="print the list, or what was deleted, as JSON")


def run(arguments: argparse.Namespace) -> int:
    """List what is kept or delete it; a deleted engine or index is made anew when it is next needed."""
    from segnet_live.engine.artifacts import ArtifactStore, clear

    console = Console(highlight=False, markup=False)
    folder = cache_dir()
    if arguments.action == "clear":
        files, freed = clear(folder)
        if arguments.json:
            print(json.dumps({"deleted": files, "bytes": freed, "folder": str(folder)}))
            return 0
        console.print(f"deleted {files} files, {freed / MIB:.1f} MiB, from {folder}")
        return 0
    rows = [_row(backend, entry) for backend in BACKENDS for entry in ArtifactStore.of(backend).entries()]
    rows += _compiled_forms("openvino", ArtifactStore.of("openvino").folder / "compiled", "this CPU")
    rows += _compiled_forms("inductor", cache_dir() / "inductor", "this GPU")
    rows += _indexes(ArtifactStore.of("index").entries())
    if arguments.json:
        print(json.dumps([dict(zip(COLUMNS, row, strict=True)) for row in rows], indent=1))
        return 0
    if not rows:
        console.print(f"nothing is kept in {folder}")
        return 0
    table = Table(title=f"engines and indexes in {folder}", title_justify="left")
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    return 0


def _row(backend: Kind, entry: Listed) -> tuple[str, ...]:
    from segnet_live.engine.artifacts import age

    fields, size = entry.key_fields, entry.key_fields.get("size")
    parity = entry.metadata.get("parity", {}).get("overall")
    what_for = "this CPU"
    if "tensorrt" in fields:
        what_for = f"{fields['name']}, TensorRT {fields['tensorrt']}"
    elif "targets" in fields:
        what_for = f"{', '.join(fields['targets'])}, TensorRT-RTX {fields['tensorrt_rtx']}"
    elif "kernels of" in fields:
        fields, what_for = fields | {"model": "kernels"}, str(fields["name"])
    return (
        backend,
        str(fields.get("model", "damaged")),
        format_size((size[0], size[1])) if size else "",
        str(fields.get("precision", "any")) if fields else "",
        what_for if fields else "",
        f"{entry.size_bytes / MIB:.1f}",
        age(entry.modified),
        f"{parity:.2%}" if parity is not None else "",
    )


def _compiled_forms(backend: str, folder: Path, what_for: str) -> list[tuple[str, ...]]:
    """Count what a library keeps of compiled networks together."""
    from segnet_live.engine.artifacts import age

    files = [path.stat() for path in folder.rglob("*") if path.is_file()]
    if not files:
        return []
    used, newest = sum(file.st_size for file in files), max(file.st_mtime for file in files)
    return [(backend, "compiled forms", "", "", what_for, f"{used / MIB:.1f}", age(newest), "")]


def _indexes(entries: list[Listed]) -> list[tuple[str, ...]]:
    """Count the indexes of drives together."""
    from segnet_live.engine.artifacts import age

    if not entries:
        return []
    used, newest = sum(entry.size_bytes for entry in entries), entries[0].modified
    return [("index", f"of {len(entries)} drives", "", "", "any machine", f"{used / MIB:.1f}", age(newest), "")]

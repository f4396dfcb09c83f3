"""Feed damaged inputs to the command, in a child process that is watched for crashes, hangs and memory."""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import random
import resource
import shutil
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil

from tests.torture import mutants
from tests.torture.journal import Facts
from tests.torture.kept_files import KEPT

MOST_S = 20.0
MOST_MIB = 1536
LIMIT_BYTES = 4 << 30
"""Address space of data that the child gets: what wants more fails there and not the machine."""
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["segnet_live.pipeline.headless.run", "tests.torture.mutation"])


def serve(pipe: Connection) -> None:
    """The child: run the command as often as asked for, with an engine whose labels are known (not the network)."""
    from segnet_live.cli import main
    from segnet_live.errors import SegnetLiveError
    from segnet_live.pipeline.headless.job import prepare
    from tests.support.engines import HalfEngine

    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT_BYTES, LIMIT_BYTES))
    real = prepare.__kwdefaults__["open_engine"]
    while True:
        kind, arguments = pipe.recv()
        said = io.StringIO()
        code: object
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            try:
                if kind in KEPT:
                    KEPT[kind][1](Path(arguments[0]))
                    code = 0
                else:
                    prepare.__kwdefaults__["open_engine"] = (
                        real if kind == "model" else lambda card, **_: HalfEngine(card.name, "a test", (32, 32))
                    )
                    code = main(arguments)
            except SegnetLiveError as error:
                code = 2
                print(error, file=said)
            except BaseException as error:
                code = f"{type(error).__name__}: {error}"
        pipe.send((code, said.getvalue(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


@dataclass
class Victim:
    """The child that serves, made anew after a crash, a hang or too much memory."""

    process: BaseProcess | None = None
    pipe: Connection | None = None

    def ask(self, kind: str, arguments: list[str]) -> tuple[str, float]:
        """What went wrong ("" if nothing did), and the child's peak memory in MiB."""
        if self.process is None or self.pipe is None:
            self.pipe, theirs = context.Pipe()
            self.process = context.Process(target=serve, args=(theirs,), daemon=True)
            self.process.start()
            theirs.close()
        self.pipe.send((kind, arguments))
        if not self._answers():
            self.end()
            return f"no end within {MOST_S:g} s", 0.0
        try:
            code, said, peak_mib = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            problem = f"the process died with {self.process.exitcode}"
            self.end()
            return problem, 0.0
        if peak_mib > MOST_MIB:
            self.end()
            return f"{peak_mib:.0f} MiB", peak_mib
        lines = [line for line in said.splitlines() if line.strip()]
        # caches and indexes are told in the log, and made again; so is, once, what a recording leaves out
        most = (code == 2 or kind in ("cache", "index")) + any("the jump is left out" in line for line in lines)
        wrong = code not in (0, 2) or "Traceback" in said or len(lines) > most or "\x1b" in said
        return (f"exit {code}: {said[:400]}" if wrong else ""), peak_mib

    def _answers(self) -> bool:
        """Wait for an answer: MOST_S of the child's own time, for the machine may be busy with other things."""
        assert self.process is not None
        assert self.pipe is not None
        until_s = time.monotonic() + 15 * MOST_S
        child = psutil.Process(self.process.pid)
        began_s = sum(child.cpu_times()[:2])
        while not self.pipe.poll(0.5):
            with contextlib.suppress(psutil.Error):
                used_s = sum(child.cpu_times()[:2]) - began_s
                if used_s > MOST_S or time.monotonic() > until_s:
                    return False
        return True

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
        if self.pipe is not None:
            self.pipe.close()
        self.process = self.pipe = None


@dataclass
class Mutation:
    """All that cases share: good inputs, the model folder they damage, the child that is fed."""

    good: Path
    model: Path
    kept: Path
    victim: Victim = field(default_factory=Victim)

    def case(self, number: int, dice: random.Random, work: Path) -> Facts:
        """Damage one input and feed it; keep it where something went wrong."""
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        kind = dice.choices(("media", "model", *KEPT), (80, 6, *[14 / len(KEPT)] * len(KEPT)))[0]
        if kind in KEPT:
            given = work / kind
            KEPT[kind][0](given, dice)
            arguments, outputs = [str(given)], [kind]
        else:
            given, arguments, outputs = (self._media if kind == "media" else self._model)(dice, work)
        before = _listing(work)
        problem, peak_mib = self.victim.ask(kind, arguments)
        stray = [name for name in _listing(work) - before if not any(name.startswith(out) for out in outputs)]
        if stray and not problem:
            problem = f"wrote {stray[:3]}"
        if problem:
            self.kept.mkdir(parents=True, exist_ok=True)
            target = self.kept / f"{number}-{given.name}"
            shutil.copytree(given, target, dirs_exist_ok=True) if given.is_dir() else shutil.copy(given, target)
        return {"problem": problem, "kind": kind, "input": given.name, "peak_mib": peak_mib}

    def _media(self, dice: random.Random, work: Path) -> tuple[Path, list[str], list[str]]:
        good = dice.choice(sorted(p for p in self.good.iterdir() if p.is_file()))
        bad = work / good.name
        bad.write_bytes(mutants.damaged(good.read_bytes(), good.suffix, dice))
        given = ["--model", str(self.model), "--headless", "--size", "32x32"]
        if good.suffix in (".png", ".jpg", ".webp", ".bmp", ".tif", ".ppm"):
            return bad, ["--images", str(bad), "--masks", str(work / "labels"), *given], ["labels"]
        arguments = ["--video", str(bad), "--record", str(work / "out.mp4"), *given]
        if dice.random() < 0.3:
            arguments += ["--stats", str(work / "out.csv")]
        if dice.random() < 0.2:
            arguments += ["--start", f"{dice.uniform(0, 1):.2f}"]
        if dice.random() < 0.2:
            arguments += ["--duration", f"{dice.uniform(0.01, 1):.2f}"]
        return bad, arguments, ["out."]

    def _model(self, dice: random.Random, work: Path) -> tuple[Path, list[str], list[str]]:
        folder = work / "model"
        shutil.copytree(self.model, folder)
        card, weights = folder / "card.json", folder / "weights.safetensors"
        if dice.random() < 0.6:
            card.write_bytes(mutants.damaged_json(card.read_bytes(), dice))
        else:
            import hashlib

            weights.write_bytes(mutants.damaged_tensors(weights.read_bytes(), dice))
            fields = json.loads(card.read_bytes())
            fields["sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest()
            card.write_text(json.dumps(fields))
        clip = self.good / "h264.mp4"
        given = ["--headless", "--backend", "torch", "--size", "32x32", "--duration", "0.05"]
        arguments = ["--video", str(clip), "--model", str(folder), "--masks", str(work / "labels"), *given]
        return folder, arguments, ["labels"]


def _listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}

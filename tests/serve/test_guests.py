"""Many guests at once, half of them misbehaving: no crash, flat memory, and the honest ones are served.

The long form, for figures: pytest -m bench -s tests/serve/test_guests.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pytest

from segnet_live.card import Card
from tests.support.serving import picture

ANSWERED = {200, 400, 408, 413, 415, 422, 429, 503}


@dataclass
class Seen:
    """What guests saw."""

    honest: Counter[int] = field(default_factory=Counter)
    bad: Counter[int] = field(default_factory=Counter)
    latency_ms: list[float] = field(default_factory=list)
    memory_mib: list[tuple[float, float]] = field(default_factory=list)

    @property
    def slope_mib_per_minute(self) -> float:
        """How memory grows, over the second half."""
        late = np.array(self.memory_mib[len(self.memory_mib) // 2 :])
        return float(np.polyfit(late[:, 0] / 60, late[:, 1], 1)[0])

    def __str__(self) -> str:
        p50, p95 = np.percentile(self.latency_ms, (50, 95))
        first, last = self.memory_mib[len(self.memory_mib) // 2][1], self.memory_mib[-1][1]
        return (
            f"honest {dict(self.honest)}, misbehaving {dict(self.bad)}; "
            f"honest answers p50 {p50:.0f} ms, p95 {p95:.0f} ms, n {len(self.latency_ms)}; memory {first:.0f} to "
            f"{last:.0f} MiB in the second half, {self.slope_mib_per_minute:+.1f} MiB a minute"
        )


@contextlib.contextmanager
def command(model: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str, int]]:
    """Run `segnet-live serve` during the body; give its process, the address it printed, and the port."""
    arguments = ["serve", "--port", "0", "--model", str(model), *options]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "segnet_live", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert "http://127.0.0.1:" in line, process.stderr.read() if process.stderr else ""
            address = next(word for word in line.split() if word.startswith("http"))
            yield process, address, int(address.split(":")[2].partition("/")[0])
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()


async def ask(port: int, head: bytes, body: bytes) -> int:
    """One request; the answer's status, 0 if there was none."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return 0
    try:
        writer.write(head + b"Host: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        answer = await reader.read()
        return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0
    except OSError:
        return 0
    finally:
        writer.close()


async def honest(port: int, seen: Seen, until_s: float, dice: random.Random) -> None:
    """Send a picture, look at the answer for a moment, send another; come again when told to."""
    data = picture(360, 640, ".jpg")
    while time.monotonic() < until_s:
        began_s = time.monotonic()
        status = await ask(port, b"POST /segment HTTP/1.1\r\n", data)
        seen.honest[status] += 1
        if status == 200:
            seen.latency_ms.append((time.monotonic() - began_s) * 1e3)
        await asyncio.sleep(dice.uniform(0.5, 1.5))


async def misbehaving(port: int, seen: Seen, until_s: float, dice: random.Random, kind: int) -> None:
    """Be slow, half-closed, deaf, or send garbage."""
    post = b"POST /segment HTTP/1.1\r\nHost: localhost\r\n"
    while time.monotonic() < until_s:
        if kind == 0:  # garbage as a picture, sometimes with a true beginning
            begin = dice.choice([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
            body = begin + dice.randbytes(dice.randrange(20_000))
            seen.bad[await ask(port, b"POST /segment HTTP/1.1\r\n", body)] += 1
            await asyncio.sleep(0.2)
            continue
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            if kind == 1:  # no HTTP at all
                writer.write(dice.randbytes(500) + b"\r\n\r\n")
                answer = await asyncio.wait_for(reader.read(), 30)
                seen.bad[int(answer[9:12]) if answer else 0] += 1
            elif kind == 2:  # a byte a second
                writer.write(post + b"Content-Length: 100000\r\n\r\n")
                for _ in range(5):
                    writer.write(b"x")
                    await asyncio.sleep(min(1.0, max(0.0, until_s - time.monotonic())))
                seen.bad[0] += 1
            elif kind == 3:  # hangs up in the middle, half or wholly
                writer.write(post + b"Content-Length: 50000\r\n\r\n" + bytes(1000))
                await writer.drain()
                if dice.random() < 0.5:
                    writer.write_eof()
                    await asyncio.sleep(0.3)
                writer.transport.abort()
                seen.bad[0] += 1
            else:  # watches, and never reads
                writer.write(b"GET /live/0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await asyncio.sleep(min(5.0, max(0.0, until_s - time.monotonic())))
                seen.bad[0] += 1
            writer.close()
        await asyncio.sleep(0.2)


async def crowd(port: int, process: psutil.Process, clients: int, length_s: float) -> Seen:
    """Let so many guests come for so long, every second one misbehaving."""
    seen, began_s = Seen(), time.monotonic()
    until_s = began_s + length_s

    async def watch() -> None:
        while time.monotonic() < until_s:
            seen.memory_mib.append((time.monotonic() - began_s, process.memory_info().rss / 2**20))
            await asyncio.sleep(length_s / 60)

    tasks = [watch()]
    for i in range(clients):
        dice = random.Random(i)
        tasks.append(honest(port, seen, until_s, dice) if i % 2 else misbehaving(port, seen, until_s, dice, i // 2 % 5))
    await asyncio.gather(*tasks)
    return seen


def check(seen: Seen, process: subprocess.Popen[str], port: int) -> None:
    assert process.poll() is None, "it still runs"
    print(seen)
    assert seen.honest[200] > 0
    assert set(seen.honest) <= {200, 503}, seen
    assert set(seen.bad) <= {0, *ANSWERED}, seen
    assert asyncio.run(ask(port, b"POST /segment HTTP/1.1\r\n", picture())) == 200
    health = asyncio.run(ask(port, b"GET /health HTTP/1.1\r\n", b""))
    assert health == 200


def test_the_command_serves_honest_guests_among_others_and_ends_with_ctrl_c(tiny_card: Card) -> None:
    with command(tiny_card.folder) as (process, address, port):
        assert "/?token=" in address
        seen = asyncio.run(crowd(port, psutil.Process(process.pid), 20, 3.0))
        check(seen, process, port)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=240)
        assert (process.returncode, errors) == (0, "")


@pytest.mark.bench
@pytest.mark.timeout(600)
def test_two_hundred_guests_for_a_minute() -> None:
    model = Path(__file__).resolve().parents[2] / "models" / "segnet-fast"
    with command(model) as (process, _, port):
        asyncio.run(crowd(port, psutil.Process(process.pid), 20, 5.0))  # engines open, pools fill
        seen = asyncio.run(crowd(port, psutil.Process(process.pid), 200, 60.0))
        check(seen, process, port)
        print(json.dumps({"figures": str(seen)}))
        assert seen.slope_mib_per_minute < 20
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=240)
        assert (process.returncode, errors) == (0, "")

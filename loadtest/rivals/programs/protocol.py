"""The verbs that every contestant's program knows; the same as in ../node/protocol.mjs.

install | enqueue JOBS BATCH | trickle RATE SECONDS | work | loop BATCH SECONDS SLICE

enqueue connects, says "ready", waits for a line, enqueues and says "done". loop does likewise: it enqueues,
claims and finishes a batch again and again, and at the end says how many in each slice of time. trickle says
at the end how many it has enqueued.

The rivals' programs run in an environment without pgtick: nothing here may import more than the standard
library.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

Payload = dict[str, Any]


class Program(ABC):
    """One contestant."""

    database = os.environ.get("DATABASE_URL", "")

    @abstractmethod
    async def install(self) -> None:
        """Make the tables."""

    @abstractmethod
    async def connect(self) -> None:
        """Be ready to enqueue."""

    @abstractmethod
    async def enqueue(self, payloads: list[Payload]) -> None:
        """Enqueue a batch, the fastest way that the documentation shows."""

    @abstractmethod
    async def enqueue_one(self, payload: Payload) -> None:
        """Enqueue one job, as a request would."""

    @abstractmethod
    async def work(self, stop: asyncio.Event) -> None:
        """Run jobs until told to stop."""

    async def cycle(self, payloads: list[Payload]) -> int:
        """Enqueue a batch, claim as many and finish them, by the calls that a worker makes."""
        raise NotImplementedError


def noop(payload: Payload) -> None:
    """Do what a job does: nothing. The trickle's jobs also note how many milliseconds they waited."""
    if "sent" in payload:
        with Path(os.environ["RIVALS_WAITED"]).open("a") as file:
            file.write(f"{_now_ms() - payload['sent']}\n")


async def run(program: Program) -> None:
    """Does what the command line says."""
    verb, *numbers = sys.argv[1:]
    if verb == "install":
        await program.install()
    elif verb == "enqueue":
        await _enqueue(program, jobs=int(numbers[0]), batch=int(numbers[1]))
    elif verb == "trickle":
        await _trickle(program, rate=float(numbers[0]), seconds=float(numbers[1]))
    elif verb == "loop":
        await _loop(
            program, batch=int(numbers[0]), seconds=float(numbers[1]), slice_seconds=float(numbers[2])
        )
    elif verb == "work":
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await program.work(stop)
    else:
        sys.exit(f"unknown verb: {verb}")


async def _enqueue(program: Program, *, jobs: int, batch: int) -> None:
    await program.connect()
    print("ready", flush=True)
    sys.stdin.readline()
    for done in range(0, jobs, batch):
        size = min(batch, jobs - done)
        await program.enqueue([{"order": 1_000_000 + number} for number in range(size)])
    print("done", flush=True)


async def _trickle(program: Program, *, rate: float, seconds: float) -> None:
    await program.connect()
    sent = 0
    started = due = time.monotonic()
    while due < started + seconds:
        due += random.expovariate(rate)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        await program.enqueue_one({"order": 1_000_000, "sent": _now_ms()})
        sent += 1
    print(sent, flush=True)


async def _loop(program: Program, *, batch: int, seconds: float, slice_seconds: float) -> None:
    await program.connect()
    payloads = [{"order": 1_000_000 + number} for number in range(batch)]
    done = [0] * round(seconds / slice_seconds)
    print("ready", flush=True)
    sys.stdin.readline()
    started = time.monotonic()
    while True:
        finished = await program.cycle(payloads)
        number = int((time.monotonic() - started) / slice_seconds)
        if number >= len(done):
            break
        done[number] += finished
    print(json.dumps(done), flush=True)


def _now_ms() -> float:
    return time.time() * 1000

"""The law of rate limits: admitted(t) <= burst + rate * (t - start), whatever becomes of Redis."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from app.api.limits import LEASE_SECONDS
from tests.support.program import free_port
from tests.support.redis_server import Redis, RedisCluster

pytestmark = pytest.mark.slow

PROCESSES = 4
TASKS = 50
RATE = 200.0
BURST = 100
SECONDS = 8.0


class Fleet:
    """Processes that ask for admission under one limit, all at the same time."""

    def __init__(self, stack: ExitStack, url: str, password: str | None) -> None:
        """Starts them and waits until they are about to ask."""
        self._processes = [
            stack.enter_context(
                subprocess.Popen(
                    [
                        *(
                            sys.executable,
                            "-m",
                            "tests.api.limited_process",
                            url,
                            password or "",
                            f"p{number}",
                        ),
                        *(f"{RATE}:{BURST}", str(TASKS), str(SECONDS)),
                    ],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for number in range(PROCESSES)
        ]
        for process in self._processes:
            stack.callback(process.kill)
        for process in self._processes:
            assert process.stdout is not None
            while (line := process.stdout.readline()) != "ready\n":
                assert line, "it has ended"

    def start(self) -> float:
        """Lets them ask; returns the time."""
        started_at = time.monotonic()
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        return started_at

    def admissions(self) -> list[tuple[float, str]]:
        """Waits until they have ended; returns time and kind of every admission, in order."""
        found = []
        for process in self._processes:
            output, _ = process.communicate(timeout=60)
            assert process.returncode == 0
            lines = (line.split() for line in output.splitlines() if line.startswith("admitted "))
            found += [(float(at), decision) for _, at, decision in lines]
        return sorted(found)


def run(url: str, password: str | None, meanwhile: Callable[[], None]) -> list[tuple[float, str]]:
    """Returns the admissions, by the time since the start, having checked the law at each."""
    with ExitStack() as stack:
        fleet = Fleet(stack, url, password)
        # A memory that has just begun gives nothing at first, and then is empty.
        time.sleep(3.0 + BURST / RATE)
        started_at = fleet.start()
        meanwhile()
        admissions = [(at - started_at, decision) for at, decision in fleet.admissions()]
    for count, (at, decision) in enumerate(admissions, start=1):
        assert count <= BURST + RATE * at, f"{count} by {at:.3f} s, the last {decision}"
    return admissions


def most_above(admissions: list[tuple[float, str]]) -> float:
    """Returns by how much the law was exceeded at most in any window."""
    lowest, most = 0.0, 0.0
    for count, (at, _) in enumerate(admissions):
        lowest = min(lowest, count - RATE * at)
        most = max(most, count + 1 - RATE * at - lowest - BURST)
    return most


def count(admissions: list[tuple[float, str]], decision: str, *, after: float = 0.0) -> int:
    """Returns how many there were of a kind."""
    return sum(at >= after and found == decision for at, found in admissions)


def nothing() -> None:
    """Lets Redis be."""


def wait(seconds: float) -> None:
    """Lets the processes ask for a while."""
    time.sleep(seconds)


def test_undisturbed(redis_server: Redis) -> None:
    admissions = run(redis_server.url, redis_server.password, nothing)
    # Nearly all that the law allows, shared from beginning to end.
    assert count(admissions, "allowed") > 0.8 * (BURST + RATE * SECONDS)
    assert most_above(admissions) <= RATE * 2 * LEASE_SECONDS


def test_killed_and_back(redis_server: Redis) -> None:
    def meanwhile() -> None:
        wait(1.5)
        redis_server.kill()
        wait(1.5)
        redis_server.restart()

    admissions = run(redis_server.url, redis_server.password, meanwhile)
    assert count(admissions, "local_allowed") > 0.4 * RATE * 1.5
    assert count(admissions, "allowed", after=4.0) > 0  # they have come back
    assert len(admissions) > 0.6 * (BURST + RATE * SECONDS)


def test_frozen_and_thawed(redis_server: Redis) -> None:
    def meanwhile() -> None:
        wait(1.5)
        redis_server.freeze()
        wait(2.0)
        redis_server.thaw()

    admissions = run(redis_server.url, redis_server.password, meanwhile)
    assert count(admissions, "local_allowed") > 0.4 * RATE * 1.5
    assert count(admissions, "allowed", after=4.0) > 0
    assert len(admissions) > 0.6 * (BURST + RATE * SECONDS)


def test_flushed(redis_server: Redis) -> None:
    def meanwhile() -> None:
        wait(1.0)
        redis_server.flush_all()
        wait(1.0)
        redis_server.flush_all()

    admissions = run(redis_server.url, redis_server.password, meanwhile)
    assert len(admissions) > 0.6 * (BURST + RATE * SECONDS)


def test_never_there(redis_server: Redis) -> None:
    redis_server.kill()
    admissions = run(f"redis://127.0.0.1:{free_port()}", None, nothing)
    assert count(admissions, "allowed") == 0
    assert len(admissions) > 0.6 * RATE * SECONDS


def test_in_a_cluster_that_loses_a_node(redis_cluster: RedisCluster) -> None:
    def meanwhile() -> None:
        wait(1.5)
        redis_cluster.nodes[2].freeze()
        wait(1.5)
        redis_cluster.nodes[2].thaw()

    try:
        admissions = run(redis_cluster.url, redis_cluster.password, meanwhile)
    finally:
        redis_cluster.nodes[2].thaw()
        redis_cluster.wait_until_whole()
    assert len(admissions) > 0.6 * (BURST + RATE * SECONDS)

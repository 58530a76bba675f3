"""Reads while Redis is slow, frozen or dead, beside those while it is well, in one run.

Look-ups of many executions, so that the process's own memory seldom has the answer. Each round begins with
Redis well, and goes wrong just before the reads begin: the calls that find it out are among those counted.

`python -m loadtest.bench_outage`, in a checkout: the servers are those of the tests.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import click
import httpx
import psycopg

from loadtest import http_client
from loadtest.api_server import look_ups, measured_api
from loadtest.command import main
from loadtest.figures import Figure, Report, Target, server_settings
from loadtest.http_client import Outcome, rotating
from tests.support.redis_server import Redis

ROUNDS = 5
SECONDS = 4.0
CONNECTIONS = 16
SLOW_SECONDS = 0.04
BACK_SECONDS = 10.0
TARGET = Target(3.0, "at most")


@contextmanager
def slow(redis: Redis) -> Iterator[None]:
    """Has it answer only every 40 ms."""
    done = threading.Event()

    def stutter() -> None:
        while not done.is_set():
            redis.freeze()
            done.wait(SLOW_SECONDS)
            redis.thaw()
            time.sleep(0.002)

    thread = threading.Thread(target=stutter)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def frozen(redis: Redis) -> Iterator[None]:
    """Has it take connections and say nothing."""
    redis.freeze()
    try:
        yield
    finally:
        redis.thaw()


@contextmanager
def dead(redis: Redis) -> Iterator[None]:
    """Has it gone; it comes back empty."""
    redis.kill()
    try:
        yield
    finally:
        redis.restart()


STATES: dict[str, Callable[[Redis], AbstractContextManager[None]]] = {
    "well": lambda _: nullcontext(),
    "slow": slow,
    "frozen": frozen,
    "dead": dead,
}


def run() -> Report:
    """Returns the latencies of each state, and how many times worse than well they are."""
    with measured_api() as api:
        next_request = rotating(look_ups(api.topology, api.key))
        outcomes: dict[str, list[Outcome]] = {name: [] for name in STATES}
        for _ in range(ROUNDS):
            for name, state in STATES.items():
                _wait_until_well(api.port)
                with state(api.topology.redis):
                    outcome = asyncio.run(
                        http_client.run(api.port, next_request, connections=CONNECTIONS, seconds=SECONDS)
                    )
                if set(outcome.statuses) != {200}:
                    raise RuntimeError(f"{name}: {dict(outcome.statuses)}")
                outcomes[name].append(outcome)
        with psycopg.connect(api.topology.conninfo()) as conn:
            settings = server_settings(conn)
    return Report(
        benchmark="outage",
        note=f"one process, {CONNECTIONS} connections, {ROUNDS} rounds of {SECONDS:g} s a state",
        settings=settings,
        figures=[*_ratios(outcomes), *(f for name in STATES for f in _figures(name, outcomes[name]))],
    )


def _wait_until_well(port: int) -> None:
    """Waits until the API has found Redis back, and the limits have settled."""
    give_up_at = time.monotonic() + BACK_SECONDS
    while time.monotonic() < give_up_at:
        services = httpx.get(f"http://127.0.0.1:{port}/health").json()["services"]
        if services["redis"]["status"] == "up":
            time.sleep(2.5)
            return
        time.sleep(0.1)
    raise RuntimeError("the API does not find Redis back")


def _ratios(outcomes: dict[str, list[Outcome]]) -> Iterator[Figure]:
    for name in list(STATES)[1:]:
        pairs = zip(outcomes[name], outcomes["well"], strict=True)
        values = [worse.percentile(99) / well.percentile(99) for worse, well in pairs]
        yield Figure(
            name=f"p99 with Redis {name}", unit="times as with it well", values=values, target=TARGET
        )


def _figures(name: str, outcomes: list[Outcome]) -> Iterator[Figure]:
    yield Figure(name=f"Redis {name}", unit="a second", values=[outcome.per_second for outcome in outcomes])
    for percent in (50, 99, 99.9):
        values = [outcome.percentile(percent) for outcome in outcomes]
        yield Figure(name=f"  p{percent:g}", unit="ms", values=values)


@click.command()
def bench_outage() -> None:
    """Measures reads while Redis is in trouble."""
    click.echo(run().table())


if __name__ == "__main__":
    main(bench_outage, "python -m loadtest.bench_outage")

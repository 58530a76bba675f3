"""The API beside a bare Litestar route that returns the same bytes, in one run.

Each round measures them in turn, one process each, so that what the machine does otherwise falls on all
alike: cached reads, reads through a replica (past the cache), enqueues of one. The load comes from here,
which shares the cores with the servers.

`python -m loadtest.bench_api`, in a checkout: the servers are those of the tests.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack

import click
import psycopg

from loadtest import http_client
from loadtest.api_server import JOBS, look_ups, measured_api, serving_bare
from loadtest.command import main
from loadtest.figures import Figure, Report, Target, server_settings
from loadtest.http_client import Outcome, request_bytes, rotating

ROUNDS = 5
SECONDS = 2.0
CONNECTIONS = 16
CACHED_TARGET = Target(0.7, "at least")


def run() -> Report:
    """Returns throughput and latency of each kind of request, cached reads beside the bare route."""
    with ExitStack() as stack:
        api = stack.enter_context(measured_api())
        list_jobs = request_bytes("GET", f"/v1/jobs?limit={JOBS}", key=api.key)
        body = asyncio.run(_body(api.port, list_jobs))
        bare = stack.enter_context(serving_bare(api.folder, body))
        kinds = {
            "bare route": (bare, rotating([request_bytes("GET", "/")])),
            "cached reads": (api.port, rotating([list_jobs])),
            "reads through a replica": (
                api.port,
                rotating([past_the_cache(look_up) for look_up in look_ups(api.topology, api.key)]),
            ),
            "enqueues": (api.port, rotating([_enqueue(api.key)])),
        }
        outcomes: dict[str, list[Outcome]] = {name: [] for name in kinds}
        for _ in range(ROUNDS):
            for name, (port, next_request) in kinds.items():
                outcome = asyncio.run(
                    http_client.run(port, next_request, connections=CONNECTIONS, seconds=SECONDS)
                )
                expected = {201} if name == "enqueues" else {200}
                if set(outcome.statuses) != expected:
                    raise RuntimeError(f"{name}: {dict(outcome.statuses)}")
                outcomes[name].append(outcome)
        with psycopg.connect(api.topology.conninfo()) as conn:
            settings = server_settings(conn)
    return Report(
        benchmark="api",
        note=f"one process, {CONNECTIONS} connections, {len(body):,} bytes, {ROUNDS} rounds of {SECONDS:g} s",
        settings=settings,
        figures=[*_ratio(outcomes), *(figure for name in kinds for figure in _figures(name, outcomes[name]))],
    )


def _ratio(outcomes: dict[str, list[Outcome]]) -> Iterator[Figure]:
    yield Figure(
        name="cached reads against the bare route",
        unit="of its throughput",
        values=[
            cached.per_second / bare.per_second
            for cached, bare in zip(outcomes["cached reads"], outcomes["bare route"], strict=True)
        ],
        target=CACHED_TARGET,
    )


def _figures(name: str, outcomes: list[Outcome]) -> Iterator[Figure]:
    yield Figure(name=name, unit="a second", values=[outcome.per_second for outcome in outcomes])
    for percent in (50, 95, 99):
        values = [outcome.percentile(percent) for outcome in outcomes]
        yield Figure(name=f"  p{percent}", unit="ms", values=values)


def past_the_cache(request: bytes) -> bytes:
    """Returns the request as a browser's reload sends it: not to be answered from the cache."""
    return request.replace(b"\r\n\r\n", b"\r\nCache-Control: no-cache\r\n\r\n")


def _enqueue(key: str) -> bytes:
    body = json.dumps({"job_type": "python", "target": "noop", "payload": {"n": 1}}).encode()
    return request_bytes("POST", "/v1/executions", key=key, body=body)


async def _body(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    body = await reader.readexactly(length)
    writer.close()
    return body


@click.command()
def bench_api() -> None:
    """Measures the API beside a bare route."""
    click.echo(run().table())


if __name__ == "__main__":
    main(bench_api, "python -m loadtest.bench_api")

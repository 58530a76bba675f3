"""The API beside a bare Litestar route that returns the same bytes, in one run.

Each round measures them in turn, one process each, so that what the machine does otherwise falls on all
alike: cached reads, reads through a replica (past the cache), enqueues of one. The load comes from here,
which shares the cores with the servers.

`python -m loadtest.bench_api`, in a checkout: the servers are those of the tests.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
import psycopg

from loadtest import http_client
from loadtest.figures import Figure, Report, Target, server_settings
from loadtest.http_client import Outcome, request_bytes, rotating
from loadtest.server import DURABLE
from tests.support.program import free_port
from tests.support.topology import Topology, running_topology

ROUNDS = 5
SECONDS = 2.0
CONNECTIONS = 16
READY_SECONDS = 30.0
JOBS = 50
EXECUTIONS = 2000
CACHED_TARGET = Target(0.7, "at least")


def run() -> Report:
    """Returns throughput and latency of each kind of request, cached reads beside the bare route."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pgtick-bench-")))
        folder.chmod(0o711)
        topology = stack.enter_context(running_topology(folder, replicas=1, settings=DURABLE))
        key = _fill(topology)
        topology.wait_until_replayed()
        api = stack.enter_context(_api(topology))
        list_jobs = request_bytes("GET", f"/v1/jobs?limit={JOBS}", key=key)
        body = asyncio.run(_body(api, list_jobs))
        bare = stack.enter_context(_bare(folder, body))
        kinds = {
            "bare route": (bare, rotating([request_bytes("GET", "/")])),
            "cached reads": (api, rotating([list_jobs])),
            "reads through a replica": (api, rotating(_uncached(topology, key))),
            "enqueues": (api, rotating([_enqueue(key)])),
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
        with psycopg.connect(topology.conninfo()) as conn:
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


def _fill(topology: Topology) -> str:
    """Makes jobs, executions and a key, and returns the key."""
    with psycopg.connect(topology.conninfo(), autocommit=True) as conn:
        conn.execute(
            """
            select scheduler.create_job(name => 'job ' || i, job_type => 'http', schedule => '@daily',
                target => '{"url": "https://example.com/"}', tags => '{bench}')
            from generate_series(1, %s) i
            """,
            [JOBS],
        )
        conn.execute(
            """
            select count(*) from scheduler.enqueue_many(
                (select jsonb_agg(jsonb_build_object('job_type', 'python', 'target', 'noop', 'payload', i))
                 from generate_series(1, %s) i))
            """,
            [EXECUTIONS],
        )
        row = conn.execute("select api_key from scheduler.create_api_key('bench', '{admin}')").fetchone()
        assert row is not None  # noqa: S101
        return str(row[0])


def _uncached(topology: Topology, key: str) -> list[bytes]:
    """Returns look-ups of more executions than come up twice within the life of a cached answer."""
    with psycopg.connect(topology.conninfo()) as conn:
        rows = conn.execute("select execution_id from scheduler.executions limit %s", [EXECUTIONS]).fetchall()
    # Told not to answer from the cache, as a browser's reload does.
    return [
        request_bytes("GET", f"/v1/executions/{row[0]}", key=key).replace(
            b"\r\n\r\n", b"\r\nCache-Control: no-cache\r\n\r\n"
        )
        for row in rows
    ]


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


@contextmanager
def _api(topology: Topology) -> Iterator[int]:
    port = free_port()
    environ = {
        **os.environ,
        **topology.environ(),
        "PGTICK_API_PORT": str(port),
        # On, as in production, but out of the way.
        **{f"PGTICK_RATE_LIMIT_{name}": "1000000" for name in ("GLOBAL", "CLIENT", "READ", "WRITE")},
        "PGTICK_LOG_FORMAT": "json",
    }
    with _serving([sys.executable, "-m", "app", "api"], port, environ):
        yield port


@contextmanager
def _bare(folder: Path, body: bytes) -> Iterator[int]:
    port = free_port()
    path = folder / "body"
    path.write_bytes(body)
    with _serving([sys.executable, "-m", "loadtest.bare", str(port), str(path)], port, dict(os.environ)):
        yield port


@contextmanager
def _serving(command: list[str], port: int, environ: dict[str, str]) -> Iterator[None]:
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
        try:
            asyncio.run(_answers(process, port))
            yield
        except Exception:
            log.seek(0)
            click.echo(log.read()[-3000:].decode(errors="replace"), err=True)
            raise
        finally:
            process.terminate()
            process.wait()


async def _answers(process: subprocess.Popen[bytes], port: int) -> None:
    """Waits until somebody answers on the port."""
    async with asyncio.timeout(READY_SECONDS):
        while process.poll() is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
                continue
            writer.close()
            return
    raise RuntimeError(f"{process.args!r} ended with {process.returncode}")


if __name__ == "__main__":
    click.echo(run().table())

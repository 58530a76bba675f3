"""What the API is measured on: the topology of the tests, filled; one process of it, or of a bare route."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import psycopg

from loadtest.http_client import request_bytes
from loadtest.processes import unset
from loadtest.server import DURABLE
from tests.support.program import free_port
from tests.support.topology import Topology, running_topology

READY_SECONDS = 30.0
JOBS = 50
EXECUTIONS = 2000


@dataclass(frozen=True)
class MeasuredApi:
    """One process of the API, on a filled topology of its own."""

    topology: Topology
    folder: Path
    key: str
    port: int


@contextmanager
def measured_api() -> Iterator[MeasuredApi]:
    """Has one process of the API run, and all that it needs: what the benchmarks of the API begin with."""
    with durable_topology() as topology:
        fill(topology)
        (key,) = make_keys(topology, 1)
        with serving_api(topology) as port:
            yield MeasuredApi(topology, topology.folder, key, port)


def need(program: str) -> None:
    """Fails if a program is missing that the servers of the tests are made of: there a test is skipped."""
    if shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin") is None:
        raise click.ClickException(f"{program} is missing: apt-get install {program}")


@contextmanager
def durable_topology() -> Iterator[Topology]:
    """Has a topology with one replica run, in a folder that servers under accounts of their own reach."""
    need("pgbouncer")
    with tempfile.TemporaryDirectory(prefix="pgtick-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with running_topology(folder, replicas=1, settings=DURABLE) as topology:
            yield topology


def fill(topology: Topology, *, jobs: int = JOBS, executions: int = EXECUTIONS) -> None:
    """Makes jobs and executions that wait."""
    with psycopg.connect(topology.conninfo(), autocommit=True) as conn:
        conn.execute(
            """
            select scheduler.create_job(name => 'job ' || i, job_type => 'python', target => '"noop"',
                schedule => '@daily', tags => '{bench}')
            from generate_series(1, %s) i
            """,
            [jobs],
        )
        conn.execute(
            """
            select count(*) from scheduler.enqueue_many(
                (select jsonb_agg(jsonb_build_object('job_type', 'python', 'target', 'noop', 'payload', i))
                 from generate_series(1, %s) i))
            """,
            [executions],
        )
    topology.wait_until_replayed()


def make_keys(topology: Topology, count: int) -> list[str]:
    """Makes keys that may do everything."""
    with psycopg.connect(topology.conninfo(), autocommit=True) as conn:
        keys = conn.execute(
            """
            select k.api_key
            from generate_series(1, %s) i, scheduler.create_api_key('client ' || i, '{admin}') k
            """,
            [count],
        ).fetchall()
    topology.wait_until_replayed()
    return [str(key) for (key,) in keys]


def look_ups(topology: Topology, key: str) -> list[bytes]:
    """Returns a look-up of each execution: more than come up twice within the life of a cached answer."""
    with psycopg.connect(topology.conninfo()) as conn:
        rows = conn.execute("select execution_id from scheduler.executions limit %s", [EXECUTIONS]).fetchall()
    return [request_bytes("GET", f"/v1/executions/{row[0]}", key=key) for row in rows]


@contextmanager
def serving_api(topology: Topology) -> Iterator[int]:
    """Runs one process of the API and gives its port."""
    port = free_port()
    environ = {
        **unset(os.environ),
        **topology.environ(),
        "PGTICK_API_PORT": str(port),
        # On, as in production, but out of the way.
        **{f"PGTICK_RATE_LIMIT_{name}": "1000000" for name in ("GLOBAL", "CLIENT", "READ", "WRITE")},
        "PGTICK_LOG_FORMAT": "json",
    }
    with _serving([sys.executable, "-m", "app", "api"], port, environ):
        yield port


@contextmanager
def serving_bare(folder: Path, body: bytes) -> Iterator[int]:
    """Runs a bare Litestar route that answers with these bytes, and gives its port."""
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

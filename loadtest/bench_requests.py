"""What each kind of request of the mixed profile costs: processor time by part, past the cache and from it.

The clock measures the neighbours; processor time is what a request takes wherever it runs. A worker and a
ticker run beside it, as in the load tests: what an enqueue has them and the primary do is in its figures.

`python -m loadtest.bench_requests`, in a checkout: the servers are those of the tests.
"""

from __future__ import annotations

import asyncio
import json
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import psycopg

from loadtest import http_client
from loadtest.bench_api import past_the_cache
from loadtest.command import main
from loadtest.http_client import request_bytes, rotating
from loadtest.installation import Installation, installed
from loadtest.load_report import table
from tests.support.api_process import ApiProcess

CONNECTIONS = 8
PARTS = ("api", "postgres", "replica", "pgbouncer", "redis", "worker")
PAGE = "/v1/jobs?limit=50"
UNLIMITED = {f"PGTICK_RATE_LIMIT_{name}": "1000000" for name in ("GLOBAL", "CLIENT", "READ", "WRITE")}


def kinds(installation: Installation) -> dict[str, list[bytes]]:
    """Returns requests of each kind; those of a kind are sent in turn."""
    with psycopg.connect(installation.topology.conninfo()) as conn:
        jobs = [row[0] for row in conn.execute("select job_id from scheduler.jobs").fetchall()]
        newest = "select execution_id from scheduler.executions order by execution_id desc limit 2000"
        executions = [row[0] for row in conn.execute(newest).fetchall()]
    keys = cycle(installation.keys)

    def get(*paths: str) -> list[bytes]:
        return [request_bytes("GET", path, key=next(keys)) for path in paths]

    def load(*paths: str) -> list[bytes]:
        return [past_the_cache(request) for request in get(*paths)]

    def post(path: str, body: object) -> list[bytes]:
        return [
            request_bytes("POST", path, key=key, body=json.dumps(body).encode()) for key in installation.keys
        ]

    item = {"job_type": "python", "target": "noop", "payload": {"n": 1}}
    statuses = ("", "&status=failed", "&status=succeeded", "&status=running")
    return {
        "a page of jobs, from the cache": get(*[PAGE] * len(installation.keys)),
        "a job": load(*(f"/v1/jobs/{job}" for job in jobs)),
        "executions of a job": load(*(f"/v1/jobs/{job}/executions?limit=20" for job in jobs)),
        "a page of jobs": load(PAGE),
        "executions": load(*(f"/v1/executions?limit=20{status}" for status in statuses)),
        "overview": load("/v1/stats", "/v1/queues", "/v1/workers"),
        "an execution": load(*(f"/v1/executions/{execution}" for execution in executions)),
        "enqueue": post("/v1/executions", item),
        "enqueue 100": post("/v1/executions/bulk", {"items": [item] * 100}),
    }


@contextmanager
def _serving(installation: Installation) -> Iterator[int]:
    with TemporaryDirectory(prefix="pgtick-bench-") as folder:
        environ = installation.topology.environ() | UNLIMITED | {"PGTICK_LOG_FORMAT": "json"}
        with ApiProcess(environ, log=Path(folder) / "api.log") as api:
            installation.parts["api"] = [api.pid]
            yield api.port


def _measure(
    installation: Installation, port: int, requests: Sequence[bytes], *, seconds: float
) -> dict[str, float]:
    """Returns the milliseconds of processor time a request, by part."""
    before = installation.usage()
    outcome = asyncio.run(http_client.run(port, rotating(requests), connections=CONNECTIONS, seconds=seconds))
    installation.wait_until_idle()
    after = installation.usage()
    if not set(outcome.statuses) <= {200, 201}:
        raise RuntimeError(str(dict(outcome.statuses)))
    return {
        part: (after[part].processor_seconds - before[part].processor_seconds) * 1000 / len(outcome.latencies)
        for part in PARTS
    }


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(0.1),
    default=2.0,
    help="How long each kind is asked for in a round.",
    show_default=True,
)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
def bench_requests(seconds: float, rounds: int) -> None:
    """Measures each kind of request of the mixed profile."""
    spent: dict[str, list[dict[str, float]]] = defaultdict(list)
    with installed() as installation, _serving(installation) as port:
        installation.wait_until_idle()
        for _ in range(rounds):
            for name, requests in kinds(installation).items():
                spent[name].append(_measure(installation, port, requests, seconds=seconds))
    rows: list[tuple[str, ...]] = [("ms a request", *PARTS, "all")]
    for name, found in spent.items():
        medians = [statistics.median(each[part] for each in found) for part in PARTS]
        rows.append((name, *(f"{each:.2f}" for each in medians), f"{sum(medians):.2f}"))
    click.echo("\n".join(table(rows)))


if __name__ == "__main__":
    main(bench_requests, "python -m loadtest.bench_requests")

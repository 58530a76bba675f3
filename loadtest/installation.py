"""A whole installation on this machine: nginx, API processes, PostgreSQL with a replica, PgBouncer, Redis, a
ticker, a worker.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from loadtest.api_server import durable_topology, fill, make_keys, need
from loadtest.processes import running
from loadtest.usage import MACHINE, Usage, busy_seconds, usage
from tests.support.api_process import ApiProcess
from tests.support.nginx import Nginx
from tests.support.program import wait_until
from tests.support.topology import Topology

JOBS = 100
EXECUTIONS = 10_000
CLIENTS = 10
IDLE_SECONDS = 120.0


@dataclass
class Installation:
    """It runs."""

    topology: Topology
    keys: list[str]
    """Of the clients."""
    greedy_key: str
    parts: dict[str, list[int]]
    """The ids of the topmost processes of each part."""
    url: str = ""

    @contextmanager
    def serving(self, *, processes: int, environ: Mapping[str, str] | None = None) -> Iterator[None]:
        """Has so many API processes run behind nginx while the block does."""
        with ExitStack() as stack:
            logs = _folder(stack)
            variables = self.topology.environ() | dict(environ or {})
            apis = [
                stack.enter_context(ApiProcess(variables, log=logs / f"api-{number}.log"))
                for number in range(processes)
            ]
            nginx = stack.enter_context(Nginx(_folder(stack, mode=0o755), [api.port for api in apis]))
            self.parts |= {"nginx": [nginx.pid], "api": [api.pid for api in apis]}
            self.url = nginx.url
            yield

    def wait_until_idle(self) -> None:
        """Waits until the worker has run all there is, so that no profile begins with what another left."""
        query = """
            select exists (select from scheduler_internal.running)
                or exists (select from scheduler_internal.waiting where run_at <= clock_timestamp())
        """
        with psycopg.connect(self.topology.conninfo(), autocommit=True) as conn:
            wait_until(
                lambda: conn.execute(query).fetchone() == (False,), "an idle worker", seconds=IDLE_SECONDS
            )

    def written(self) -> tuple[int, int]:
        """Returns how many executions have ended, and how many bytes of WAL were written, since it began."""
        query = """
            select (select count(*) from scheduler_internal.history where final),
                   (pg_current_wal_lsn() - '0/0')::bigint
        """
        with psycopg.connect(self.topology.conninfo()) as conn:
            ended, wal_bytes = conn.execute(query).fetchone() or (0, 0)
        return ended, wal_bytes

    def usage(self) -> dict[str, Usage]:
        """Returns what each part has taken by now, and the whole machine."""
        return usage(self.parts) | {MACHINE: Usage(busy_seconds(), 0)}


@contextmanager
def installed() -> Iterator[Installation]:
    """Has one run while the block does; its API has still to be started."""
    need("nginx")
    with ExitStack() as stack:
        topology = stack.enter_context(durable_topology())
        fill(topology, jobs=JOBS, executions=EXECUTIONS)
        greedy_key, *keys = make_keys(topology, CLIENTS + 1)
        conninfo = topology.pooled_conninfo(user="pgtick_worker")
        worker = ("worker", "--handlers", "loadtest.handlers", "--concurrency", "100")
        parts = {
            "postgres": _pids(topology.primary.pid()),
            "replica": _pids(*(replica.cluster.pid() for replica in topology.replicas)),
            "pgbouncer": [topology.pooler.pid],
            "redis": [topology.redis.pid],
            "ticker": stack.enter_context(running("ticker", conninfo=conninfo)),
            "worker": stack.enter_context(running(*worker, conninfo=conninfo)),
        }
        yield Installation(topology, keys, greedy_key, parts)


def _pids(*pids: int | None) -> list[int]:
    return [pid for pid in pids if pid is not None]


def _folder(stack: ExitStack, *, mode: int = 0o700) -> Path:
    """Returns a folder; servers that run under accounts of their own have to reach it."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pgtick-load-")))
    folder.chmod(mode)
    return folder

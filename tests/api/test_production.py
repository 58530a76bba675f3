"""All of it together, under load: two API processes behind nginx, replicas, PgBouncer, Redis. Parts break; no
read fails, and no write that was acknowledged is lost.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import httpx
import psycopg
import pytest

from tests.api.conftest import MAKE_KEYS
from tests.conftest import StartNginx
from tests.support.api_process import ApiProcess
from tests.support.nginx import Nginx
from tests.support.program import wait_until
from tests.support.topology import Topology

pytestmark = [pytest.mark.slow, pytest.mark.direct]

READERS = 4
WRITERS = 2


@dataclass
class Production:
    """Everything that runs."""

    topology: Topology
    processes: list[ApiProcess]
    nginx: Nginx
    key: str

    def client(self) -> httpx.Client:
        """Returns a client that comes through nginx."""
        return httpx.Client(
            base_url=self.nginx.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=30
        )


@dataclass
class Traffic:
    """What clients saw."""

    reads: int = 0
    cut_reads: list[str] = field(default_factory=list)
    """Those whose answer broke off after it had begun, which no proxy can ask for again."""
    failed_reads: list[str] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    refused_writes: list[str] = field(default_factory=list)

    def flows(self, *, reads: int = 100, writes: int = 20) -> None:
        """Waits until so many more reads and writes came through."""
        some_reads, some_writes = self.reads + reads, len(self.acknowledged) + writes
        wait_until(
            lambda: self.reads >= some_reads and len(self.acknowledged) >= some_writes, "traffic flows"
        )


@pytest.fixture(scope="module")
def key(topology: Topology) -> str:
    with psycopg.connect(topology.conninfo(), autocommit=True) as conn:
        row = conn.execute(MAKE_KEYS, [["admin"]]).fetchone()
        conn.execute(
            "select scheduler.create_job(name => 'job ' || i, job_type => 'python', target => '\"noop\"')"
            " from generate_series(1, 20) i"
        )
    assert row is not None
    topology.wait_until_replayed()
    return str(row[1])


@pytest.fixture
def production(
    topology: Topology, key: str, start_nginx: StartNginx, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Production]:
    folder = tmp_path_factory.mktemp("api")
    with ExitStack() as stack:
        processes = [
            stack.enter_context(ApiProcess(topology.environ(), log=folder / f"api-{number}.log"))
            for number in range(2)
        ]
        nginx = start_nginx(*(process.port for process in processes))
        yield Production(topology, processes, nginx, key)


@contextmanager
def traffic(production: Production, *, may_cut: int = 0) -> Iterator[Traffic]:
    """Has clients read and write while the block runs; writes bear a key, so that they may be sent again.

    No read fails; but so many may be cut off in the middle, and are known to be.
    """
    seen = Traffic()
    done = threading.Event()

    def read(number: int) -> None:
        paths = ("/v1/jobs", "/v1/executions?limit=5", "/v1/stats", f"/v1/jobs?limit={number + 1}")
        with production.client() as client:
            while not done.is_set():
                for path in paths:
                    try:
                        answer = client.get(path)
                    except httpx.HTTPError as error:
                        is_cut = "without sending complete message body" in str(error)
                        (seen.cut_reads if is_cut else seen.failed_reads).append(repr(error))
                        continue
                    seen.reads += 1
                    if answer.status_code != 200:
                        seen.failed_reads.append(f"{path}: {answer.status_code} {answer.text}")

    def write(number: int) -> None:
        count = 0
        with production.client() as client:
            while not done.is_set():
                count += 1
                body = {"job_type": "python", "target": "noop", "payload": [number, count]}
                try:
                    answer = client.post("/v1/executions", json=body)
                except httpx.HTTPError as error:
                    seen.refused_writes.append(repr(error))
                    continue
                if answer.status_code == 201:
                    seen.acknowledged.append(answer.json()["execution_id"])
                else:
                    seen.refused_writes.append(f"{answer.status_code} {answer.text}")

    threads = [threading.Thread(target=read, args=[number]) for number in range(READERS)]
    threads += [threading.Thread(target=write, args=[number]) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    try:
        seen.flows()
        yield seen
        seen.flows()
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert seen.failed_reads == []
    assert len(seen.cut_reads) <= may_cut, seen.cut_reads
    with psycopg.connect(production.topology.conninfo()) as conn:
        rows = conn.execute(
            "select execution_id::text from scheduler.executions where execution_id = any (%s)",
            [seen.acknowledged],
        ).fetchall()
    assert {row[0] for row in rows} == set(seen.acknowledged)


def test_redis_is_killed_and_comes_back(production: Production) -> None:
    redis = production.topology.redis
    with traffic(production) as seen:
        redis.kill()
        seen.flows(reads=300)
        redis.restart()
        seen.flows(reads=300)
    assert seen.refused_writes == []


def test_redis_freezes(production: Production) -> None:
    redis = production.topology.redis
    with traffic(production) as seen:
        redis.freeze()
        try:
            seen.flows(reads=300)
        finally:
            redis.thaw()
        seen.flows(reads=300)
    assert seen.refused_writes == []


def test_redis_forgets_everything(production: Production) -> None:
    with traffic(production) as seen:
        for _ in range(5):
            production.topology.redis.flush_all()
            seen.flows(reads=50, writes=5)
    assert seen.refused_writes == []


def test_a_replica_is_killed(production: Production) -> None:
    replica = production.topology.replicas[0]
    with traffic(production) as seen:
        replica.kill()
        seen.flows(reads=300)
        replica.start()
        seen.flows(reads=300)
    assert seen.refused_writes == []


def test_the_api_is_replaced_process_by_process(production: Production) -> None:
    with traffic(production):
        for process in production.processes:
            process.restart()


def test_an_api_process_is_killed(production: Production) -> None:
    """What it was writing is unknown to its clients; what it had acknowledged is there."""
    with traffic(production, may_cut=READERS) as seen:  # one at most by each
        production.processes[0].kill()
        seen.flows(reads=300)
        production.processes[0].restart()

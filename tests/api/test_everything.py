"""Health and metrics on all that the API can stand on, while each part of it fails and comes back."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import psycopg
import pytest

from app.api.config import ApiSettings
from tests.support.api import RunningApi
from tests.support.health import be_at_work, reasons, report
from tests.support.metrics import scrape
from tests.support.program import wait_until
from tests.support.topology import Topology

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def everything(topology: Topology) -> Iterator[RunningApi]:
    """The API on all that it can stand on."""
    environ = topology.environ()
    settings = ApiSettings(
        write_conninfo=environ["DB_WRITE_CONNECTION_STRING"],
        direct_conninfo=environ["DB_DIRECT_CONNECTION_STRING"],
        replicas=(environ["DB_READ_REPLICA_1"], environ["DB_READ_REPLICA_2"]),
        redis_url=environ["REDIS_URL"],
        redis_password=environ["REDIS_PASSWORD"],
        pgbouncer_admin=topology.pooler.conninfo("pgbouncer", user="postgres"),
        node_id="test",
        port=0,
        max_lag_seconds=1.0,
    )
    with psycopg.connect(topology.conninfo(), autocommit=True) as conn:
        be_at_work(conn)
    with RunningApi(settings) as api:
        yield api


@pytest.fixture
def anybody(everything: RunningApi, topology: Topology) -> httpx.Client:
    client = everything.client(None)

    def is_ok() -> bool:
        with psycopg.connect(topology.conninfo(), autocommit=True) as conn:
            conn.execute("select scheduler.reap()")
        return report(client).status == "ok"

    wait_until(is_ok, "all is well")
    return client


def test_all_is_well(anybody: httpx.Client) -> None:
    services = report(anybody).services
    assert [replica.status for replica in services.replicas] == ["up", "up"]
    latencies = [replica.latency_ms for replica in services.replicas]
    latencies += [services.primary.latency_ms, services.redis.latency_ms, services.pgbouncer.latency_ms]
    assert None not in latencies


def test_redis_goes(anybody: httpx.Client, topology: Topology) -> None:
    topology.redis.kill()
    wait_until(lambda: report(anybody).services.redis.status == "down", "it is noticed")
    assert report(anybody).status == "degraded"
    assert reasons(anybody) == []
    topology.redis.restart()
    wait_until(lambda: report(anybody).services.redis.status == "up", "it is back")


def test_a_replica_goes(anybody: httpx.Client, topology: Topology) -> None:
    topology.replicas[1].kill()
    wait_until(lambda: report(anybody).services.replicas[1].status == "down", "it is noticed")
    found = report(anybody)
    assert (found.status, found.services.replicas[1].lag_seconds) == ("degraded", None)
    topology.replicas[1].start()
    wait_until(lambda: report(anybody).services.replicas[1].status == "up", "it is back")


def test_a_replica_lags(anybody: httpx.Client, topology: Topology) -> None:
    topology.replicas[0].pause()
    with psycopg.connect(topology.conninfo(), autocommit=True) as conn:
        conn.execute("select pg_logical_emit_message(false, 'test', 'x')")

    def lags() -> bool:
        found = report(anybody)
        return found.status == "degraded" and (found.services.replicas[0].lag_seconds or 0) > 1

    wait_until(lags, "it is noticed")
    topology.replicas[0].resume()
    wait_until(lambda: report(anybody).services.replicas[0].lag_seconds == 0, "it has caught up")


def test_pgbouncer_goes(anybody: httpx.Client, topology: Topology) -> None:
    """And with it the way to the primary; the report keeps to its time."""
    topology.pooler.kill()
    wait_until(lambda: report(anybody).services.pgbouncer.status == "down", "it is noticed")
    wait_until(lambda: report(anybody).status == "down", "writes are not possible")
    assert report(anybody).services.replicas[0].status == "up"
    topology.pooler.restart()
    wait_until(lambda: report(anybody).status == "ok", "it is back")


def test_metrics_of_everything(everything: RunningApi, anybody: httpx.Client) -> None:
    """Each replica, each pool of this process, and those of PgBouncer."""

    def users() -> set[str]:
        pools = scrape(anybody).get("db_pool_pgbouncer_servers_idle", {})
        return {dict(labels)["user"] for labels in pools}

    wait_until(lambda: users() == {"pgtick_api"}, "the pool shows")
    found = scrape(anybody)
    for name in ("replica_1", "replica_2"):
        assert found["replica_up"][(("replica", name),)] == 1
        assert found["replica_lag_seconds"][(("replica", name),)] >= 0
        assert found["db_pool_connections"][(("pool", name),)] >= 1
    databases = [dict(labels)["database"] for labels in found["db_pool_pgbouncer_transactions_total"]]
    assert len(databases) == len(set(databases)) >= 1


def test_metrics_without_pgbouncer_and_a_replica(
    everything: RunningApi, anybody: httpx.Client, topology: Topology
) -> None:
    """What does not answer is not told of as if it did."""
    topology.replicas[1].kill()
    wait_until(lambda: scrape(anybody)["replica_up"][(("replica", "replica_2"),)] == 0, "it is noticed")
    assert (("replica", "replica_2"),) not in scrape(anybody)["replica_lag_seconds"]
    topology.replicas[1].start()
    topology.pooler.kill()
    wait_until(lambda: not scrape(anybody).get("db_pool_pgbouncer_servers_idle"), "it is noticed")
    topology.pooler.restart()
    wait_until(lambda: scrape(anybody)["replica_up"][(("replica", "replica_2"),)] == 1, "it is back")

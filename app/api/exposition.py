"""/metrics: what this process counted, what its siblings on the same port did, and the newest snapshot."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from app.api.metrics_folder import LOCK
from app.api.once import Once
from app.api.pool_metrics import PoolMetrics
from app.api.snapshots import Executions, Snapshot, Snapshots

EVERY_SECONDS = 5.0
STALE_SECONDS = 60.0
"""What is older is not told: no value is better than one that looks like today's."""
AGAIN_SECONDS = 0.25
PLAIN_TEXT = "text/plain; version=0.0.4"  # to which the framework adds the charset
JOB_TYPES = ("command", "http", "python", "sql")
STATUSES = ("succeeded", "failed", "cancelled", "expired")

Answer = tuple[bytes, str]
Row = dict[str, Any]

_log = structlog.get_logger("metrics")


class Exposition(Collector):
    """Renders the metrics, at most four times a second, in a thread of its own."""

    def __init__(
        self,
        snapshots: Snapshots,
        pools: PoolMetrics,
        *,
        node_id: str,
        folder: Path | None,
        token: str | None,
    ) -> None:
        """Takes the folder that the processes on the port share; None: there is only this one."""
        self.token = token
        """Who asks must know it, if there is one."""
        self.every_seconds = EVERY_SECONDS
        self._snapshots = snapshots
        self._pools = pools
        self._node_id = node_id
        self._folder = folder
        self._plain = Once(lambda: self._render(generate_latest), seconds=AGAIN_SECONDS)
        self._open = Once(lambda: self._render(openmetrics.generate_latest), seconds=AGAIN_SECONDS)

    async def keep_up(self) -> None:
        """Keeps everything up to date for as long as the process lives."""
        with contextlib.closing(self._snapshots):
            while True:
                try:
                    self._pools.update()
                    await self._snapshots.turn()
                except Exception as error:
                    _log.error("cannot take a snapshot", exc_info=error)
                await asyncio.sleep(self.every_seconds)

    async def render(self, accept: str) -> Answer:
        """Returns the metrics and their content type: OpenMetrics for who asks for it, else plain text."""
        # Not by the library's choose_encoder(), which takes any version that a caller makes up.
        if "application/openmetrics-text" in accept:
            return await self._open.get(), openmetrics.CONTENT_TYPE_LATEST
        return await self._plain.get(), PLAIN_TEXT

    async def _render(self, encode: Callable[[Collector], bytes]) -> bytes:
        self._pools.update()
        return await asyncio.to_thread(encode, self)

    def collect(self) -> Iterator[Metric]:
        """Returns all metrics."""
        node = GaugeMetricFamily("node_info", "1: who tells these", labels=["node_id", "version"])
        node.add_metric([self._node_id, version("pgtick")], 1)
        yield node
        yield from REGISTRY.collect() if self._folder is None else _collect_shared(self._folder)
        snapshot = self._snapshots.newest()
        if snapshot is not None:
            yield from families_of(snapshot, now=time.time())


def _collect_shared(folder: Path) -> list[Metric]:
    """Returns what all processes counted, also those that have ended."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    lock = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        for _ in range(3):
            try:
                return list(registry.collect())
            except (struct.error, RuntimeError):  # a file that is being made at this moment
                time.sleep(0.01)
        return list(registry.collect())
    finally:
        os.close(lock)


def families_of(snapshot: Snapshot, *, now: float) -> Iterator[Metric]:
    """Returns the metrics of a snapshot. They are the same on every node: `max` them, do not sum them."""
    yield _gauge("metrics_snapshot_age_seconds", "Age of what the database told", now - snapshot.whole_at)
    if now - snapshot.whole_at < STALE_SECONDS and snapshot.whole is not None:
        whole = snapshot.whole
        yield from _ended(whole.executions)
        yield _gauge("active_jobs_count", "Executions that run now, anywhere", whole.active)
        oldest = GaugeMetricFamily(
            "queue_oldest_ready_seconds",
            "How long the oldest execution of a queue has been ready",
            labels=["queue"],
        )
        for queue in whole.queues:
            oldest.add_metric([queue.queue], queue.oldest_ready_seconds)
        yield oldest
    if now - snapshot.taken_at < STALE_SECONDS:
        yield from _replicas(snapshot)
        yield from _pgbouncer(snapshot.pgbouncer_pools or [], snapshot.pgbouncer_stats or [])


def _ended(executions: list[Executions]) -> Iterator[Metric]:
    by_type = {job_type: Executions(job_type) for job_type in JOB_TYPES}
    by_type |= {row.job_type: row for row in executions}
    ended = CounterMetricFamily(
        "job_executions", "Executions that ended, anywhere", labels=["job_type", "status"]
    )
    retried = CounterMetricFamily(
        "job_retries", "Attempts that failed and are followed by another", labels=["job_type"]
    )
    for job_type, row in by_type.items():
        for status in STATUSES:
            ended.add_metric([job_type, status], getattr(row, status))
        retried.add_metric([job_type], row.retried)
    yield from (ended, retried)


def _replicas(snapshot: Snapshot) -> Iterator[Metric]:
    up = GaugeMetricFamily("replica_up", "Whether a replica answers", labels=["replica"])
    lag = GaugeMetricFamily(
        "replica_lag_seconds", "For how long the primary has been ahead of a replica", labels=["replica"]
    )
    for replica in snapshot.replicas:
        up.add_metric([replica.name], replica.lag_seconds is not None)
        if replica.lag_seconds is not None:
            lag.add_metric([replica.name], replica.lag_seconds)
    yield from (up, lag)


def _pgbouncer(pools: list[Row], stats: list[Row]) -> Iterator[Metric]:
    labels = ["database", "user"]
    gauges = {
        "db_pool_pgbouncer_clients_active": ("Clients with a server connection", "cl_active"),
        "db_pool_pgbouncer_clients_waiting": ("Clients that wait for one", "cl_waiting"),
        "db_pool_pgbouncer_servers_active": ("Server connections in use", "sv_active"),
        "db_pool_pgbouncer_servers_idle": ("Server connections to be had", "sv_idle"),
        "db_pool_pgbouncer_max_wait_seconds": ("How long the first client has waited", "maxwait"),
    }
    for name, (text, column) in gauges.items():
        gauge = GaugeMetricFamily(name, text, labels=labels)
        for row in pools:
            gauge.add_metric([row["database"], row["user"]], float(row[column]))
        yield gauge
    counters = {
        "db_pool_pgbouncer_transactions": ("Transactions", "total_xact_count", 1.0),
        "db_pool_pgbouncer_queries": ("Statements", "total_query_count", 1.0),
        "db_pool_pgbouncer_wait_seconds": ("How long clients have waited", "total_wait_time", 1e-6),
    }
    for name, (text, column, unit) in counters.items():
        counter = CounterMetricFamily(name, text, labels=["database"])
        for row in stats:
            counter.add_metric([row["database"]], float(row[column]) * unit)
        yield counter


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)

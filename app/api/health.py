"""Is this process alive, is it ready, and how is everything that it stands on?

    live    the process answers; nothing else is looked at
    ready   it should be given requests: it is not leaving, the schema is what it needs, and the primary has
            answered within ten seconds. Redis is no condition: without it answers are slower, not wrong
    report  every service up or down, worked out at most once a second

All of it is public, so none of it names a host, a user or an error.
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import msgspec
import structlog

from app.api.config import ApiSettings
from app.api.database import Database
from app.api.health_report import (
    Connections,
    Pool,
    Primary,
    Readiness,
    Reason,
    Replica,
    Report,
    Service,
    Services,
    Ticker,
    Workers,
)
from app.api.once import Once
from app.api.pgbouncer import PgBouncer
from app.api.queries import Read
from app.api.redis_link import RedisLink
from app.api.replicas import FAILURES, Source
from app.api.schema import Schema

PRIMARY_SECONDS = 10.0
CALL_SECONDS = 1.0
STATUS = Read("status_json")

_log = structlog.get_logger("health")


class _Status(msgspec.Struct):
    ticker: Ticker
    workers: Workers


class Health:
    """What this process knows of its health."""

    def __init__(
        self,
        settings: ApiSettings,
        database: Database,
        *,
        redis: RedisLink | None,
        pgbouncer: PgBouncer | None,
        is_draining: Callable[[], bool],
        count_clients: Callable[[], int],
    ) -> None:
        """Takes what is looked at; the clients are the open connections."""
        self._settings = settings
        self._database = database
        self._redis = redis
        self._pgbouncer = pgbouncer
        self._is_draining = is_draining
        self._count_clients = count_clients
        self._began_at = time.monotonic()
        self._cpu_at = (self._began_at, time.process_time())
        self._report = Once(self._look, seconds=1.0)
        self.schema = Schema(database)

    async def ready(self) -> Readiness:
        """Tells whether the process should be given requests."""
        reasons: list[Reason] = []
        if self._is_draining():
            reasons.append("draining")
        if self._database.primary.silent_seconds > PRIMARY_SECONDS:
            reasons.append("primary")
        elif not await self.schema.check():
            reasons.append("schema")
        return Readiness("unready" if reasons else "ready", reasons)

    async def report(self) -> Report:
        """Tells how everything is, as of a second ago at most."""
        return await self._report.get()

    async def _look(self) -> Report:
        pgbouncer, status, _ = await asyncio.gather(
            self._look_at_pgbouncer(), self._ask_database(), self.schema.check()
        )
        primary = self._database.primary
        services = Services(
            primary=Primary(primary.status, _ms(primary.latency_seconds), self.schema.state),
            replicas=[_replica(replica) for replica in self._database.router.replicas],
            redis=Service("off") if self._redis is None else Service(self._redis.status, _ms_of(self._redis)),
            pgbouncer=pgbouncer,
            ticker=status.ticker,
            workers=status.workers,
        )
        return Report(
            status=self._judge(services),
            node_id=self._settings.node_id,
            time=datetime.now(UTC),
            version=version("pgtick"),
            draining=self._is_draining(),
            uptime_seconds=round(time.monotonic() - self._began_at, 1),
            memory_bytes=memory_bytes(),
            cpu_percent=self._cpu_percent(),
            connections=Connections(
                clients=self._count_clients(),
                pools={source.name: _pool(source) for source in self._database.sources},
            ),
            services=services,
        )

    def _judge(self, services: Services) -> Literal["ok", "degraded", "down"]:
        if self._is_draining() or services.primary.status != "up" or not self.schema.is_fit:
            return "down"
        states = {services.redis.status, services.pgbouncer.status}
        states |= {services.ticker.status, services.workers.status}
        for replica in services.replicas:
            late = (replica.lag_seconds or 0) > self._settings.max_lag_seconds
            states.add("down" if late else replica.status)
        return "ok" if states <= {"up", "off"} else "degraded"

    async def _look_at_pgbouncer(self) -> Service:
        if self._pgbouncer is None:
            return Service("off")
        seconds = await self._pgbouncer.ping()
        return Service("down" if seconds is None else "up", _ms(seconds))

    async def _ask_database(self) -> _Status:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                text, _ = await self._database.router.read_newest(STATUS.text(), {})
            return msgspec.json.decode(text or "", type=_Status)
        except (*FAILURES, TimeoutError):
            pass
        except Exception as error:  # such as an old schema, which has no such function
            _log.warning("cannot ask for the status of tickers and workers", error=str(error))
        return _Status(Ticker("unknown"), Workers("unknown"))

    def _cpu_percent(self) -> float:
        then, used = self._cpu_at
        now = self._cpu_at = (time.monotonic(), time.process_time())
        return round(100 * (now[1] - used) / max(now[0] - then, 0.001), 1)


def memory_bytes() -> int:
    """Returns how much memory this process has in use; where the system does not tell, the most it had."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _ms_of(redis: RedisLink) -> float | None:
    return None if redis.latency_ms is None else round(redis.latency_ms, 1)


def _replica(source: Source) -> Replica:
    lag = round(source.lag_seconds, 1) if source.status == "up" else None
    return Replica(source.name, source.status, _ms(source.latency_seconds), lag)


def _pool(source: Source) -> Pool:
    stats = source.pool.get_stats()
    size, available = stats["pool_size"], stats["pool_available"]
    return Pool(open=size, in_use=size - available, waiting=stats["requests_waiting"])

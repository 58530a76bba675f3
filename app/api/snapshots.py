"""What /metrics tells beyond this process: taken every five seconds in the background, never for a scrape.

Of the processes that share a port one takes it, whoever holds the lock; the others read its file. So it does
not matter which of them answers, and a counter never goes back from one scrape to the next.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from pathlib import Path
from typing import Any

import msgspec
import structlog

from app.api.database import Database
from app.api.pgbouncer import PgBouncer, Row
from app.api.queries import Read

CALL_SECONDS = 4.0
MOST_QUEUES = 100
METRICS = Read("metrics_json")

_log = structlog.get_logger("metrics")


class Executions(msgspec.Struct):
    """How many executions of a job type ended in which way, since the beginning."""

    job_type: str
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    retried: int = 0


class Queue(msgspec.Struct):
    """How long the oldest that is ready has been so; 0: there is none."""

    queue: str
    oldest_ready_seconds: float


class Whole(msgspec.Struct):
    """What the database tells."""

    executions: list[Executions]
    active: int
    queues: list[Queue]


class Replica(msgspec.Struct):
    """A replica, and how far it is behind; None: it does not answer."""

    name: str
    lag_seconds: float | None


class Snapshot(msgspec.Struct):
    """All of it."""

    taken_at: float
    lsn: int
    """Of the database's part; the next includes at least as much."""
    whole: Whole | None
    whole_at: float
    replicas: list[Replica]
    pgbouncer_pools: list[dict[str, Any]] | None
    pgbouncer_stats: list[dict[str, Any]] | None


class Snapshots:
    """Takes them, or reads what another process took."""

    def __init__(self, database: Database, *, pgbouncer: PgBouncer | None, folder: Path | None) -> None:
        """Takes the folder that the processes on the port share; None: there is only this one."""
        self._database = database
        self._pgbouncer = pgbouncer
        self._file = folder / "snapshot.json" if folder else None
        self._lock_file = folder / "snapshot.lock" if folder else None
        self._lock: int | None = None
        self._queues: set[str] = set()
        self._newest: Snapshot | None = None

    def newest(self) -> Snapshot | None:
        """Returns the newest; may be called from any thread."""
        if self._file is None or self._lock is not None:
            return self._newest
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Snapshot)
        except (OSError, msgspec.MsgspecError):
            return None

    async def turn(self) -> None:
        """Takes one, if that is for this process to do."""
        if not self._leads():
            return
        whole = await self._ask_database()
        pools, stats = await self._show("pools"), await self._show("stats")
        now = time.time()
        old = self._newest
        self._newest = Snapshot(
            taken_at=now,
            lsn=whole[1] if whole else old.lsn if old else 0,
            whole=whole[0] if whole else old.whole if old else None,
            whole_at=now if whole else old.whole_at if old else 0.0,
            replicas=[
                Replica(replica.name, replica.lag_seconds if replica.status == "up" else None)
                for replica in self._database.router.replicas
            ],
            pgbouncer_pools=pools,
            pgbouncer_stats=stats,
        )
        if self._file is not None:
            draft = self._file.with_suffix(".draft")
            draft.write_bytes(msgspec.json.encode(self._newest))
            draft.replace(self._file)

    def close(self) -> None:
        """Lets another process take them."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _leads(self) -> bool:
        if self._lock_file is None or self._lock is not None:
            return True
        lock = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._newest = self.newest()  # goes on where the last one left off
        self._lock = lock
        return True

    async def _ask_database(self) -> tuple[Whole, int] | None:
        floor = self._newest.lsn if self._newest else 0
        try:
            async with asyncio.timeout(CALL_SECONDS):
                text, lsn = await self._database.router.read(METRICS.text(), {}, floor=floor)
            whole = msgspec.json.decode(text or "", type=Whole)
        except Exception as error:
            _log.warning("no metrics from the database", error=" ".join(str(error).split())[:300])
            return None
        whole.queues = self._bounded(whole.queues)
        return whole, lsn

    def _bounded(self, queues: list[Queue]) -> list[Queue]:
        """Returns the first hundred that were ever seen, and the worst of all others as one."""
        kept: dict[str, float] = {}
        for queue in queues:
            name = queue.queue
            if name not in self._queues and len(self._queues) >= MOST_QUEUES:
                name = "other"
            else:
                self._queues.add(name)
            kept[name] = max(kept.get(name, 0.0), queue.oldest_ready_seconds)
        return [Queue(name, seconds) for name, seconds in kept.items()]

    async def _show(self, what: str) -> list[Row] | None:
        rows = await self._pgbouncer.show(what) if self._pgbouncer else None
        # The console is in its own lists.
        return None if rows is None else [row for row in rows if row["database"] != "pgbouncer"]

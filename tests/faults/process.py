"""`python -m tests.faults.process ticker|worker`: the simplest that live by our SQL, made to be killed.

They know nothing of leases or of how to leave in order: a worker that was frozen goes on where it was and
reports its stale ends, so that only the database can refuse them. Each notes its calls in a file of its own,
one write a line, which a kill cannot take back.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID, uuid4

import msgspec
import psycopg
from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from tests.faults.history import Note

NO_LEASE = "JB001"
DEADLOCK = "40P01"
BATCH = 5
FLAKY = 0.1
LONG, LONG_SECONDS = 0.02, 0.6

TICK = "select fired + skipped as decided from scheduler.tick_shard(%(shard)s)"
# One statement, so that it is one transaction whatever is in between, and leaves nothing in the session.
TICK_BACK = """
    with clock as materialized (
        select set_config('scheduler.fake_now', (clock_timestamp() - interval '30 seconds')::text, true)
    )
    select t.fired + t.skipped as decided from clock, scheduler.tick_shard(%(shard)s) t
"""
DUE = "select shard from scheduler.due_shards() where next_due_at <= scheduler.now()"
BEAT = """
    select execution_id, attempt, reason from scheduler.heartbeat(%(worker_id)s, node_id => %(node_id)s,
        lease => %(lease)s, execution_ids => %(execution_ids)s, attempts => %(attempts)s)
"""
CLAIM = "select * from scheduler.claim(%(worker_id)s, %(max_executions)s)"
FINISH = """
    select execution_id, attempt from scheduler.finish(%(worker_id)s, %(execution_ids)s, %(attempts)s,
        %(statuses)s)
"""
BEGIN_SQL_JOB = """
    select set_config('scheduler.execution_id', %(execution_id)s, true),
           set_config('scheduler.attempt', %(attempt)s, true)
"""
FINISH_SQL_JOB = "select scheduler.finish_sql_job(%(execution_id)s, %(attempt)s, %(token)s, null) as accepted"


def is_cut(error: psycopg.Error) -> bool:
    """Returns whether the connection is lost; one without an SQLSTATE was not told by the server."""
    if error.sqlstate is None or isinstance(error, psycopg.errors.IdleInTransactionSessionTimeout):
        return True
    return isinstance(error, psycopg.OperationalError) and error.sqlstate != DEADLOCK


class StaleError(Exception):
    """The database says that the attempt belongs to another."""


class Link:
    """A connection that is made anew when it was cut."""

    def __init__(self, conninfo: str, *, autocommit: bool = True) -> None:
        self._conninfo = conninfo
        self._autocommit = autocommit
        self._conn: Connection[DictRow] | None = None

    @contextmanager
    def use(self) -> Iterator[Connection[DictRow]]:
        """Lends the connection; one that breaks meanwhile is not lent again."""
        if self._conn is None:
            self._conn = psycopg.connect(
                self._conninfo, autocommit=self._autocommit, row_factory=dict_row, prepare_threshold=None
            )
        try:
            yield self._conn
        except psycopg.Error as error:
            if is_cut(error):
                self._conn.close()
                self._conn = None
            raise

    def call(self, query: LiteralString, **arguments: Any) -> list[DictRow]:
        """Runs one statement and returns its rows."""
        with self.use() as conn:
            return conn.execute(query, arguments).fetchall()


class Log:
    """The notes of this process."""

    def __init__(self, path: str) -> None:
        self.process = os.path.basename(path).removesuffix(".jsonl")  # noqa: PTH119 - a name, not a file
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def note(self, *, called_at: datetime, **facts: Any) -> None:
        """Writes a line."""
        note = Note(process=self.process, called_at=called_at, returned_at=datetime.now(UTC), **facts)
        os.write(self._file, msgspec.json.encode(note) + b"\n")

    def error(self, error: psycopg.Error, *, called_at: datetime) -> None:
        """Notes an error that is neither a cut connection nor a lost lease; a deadlock is one."""
        if not is_cut(error) and error.sqlstate != NO_LEASE:
            self.note(op="error", outcome="unknown", called_at=called_at, detail=repr(error))


class Ticker:
    """Ticks what is due, again what is not, and now and then by a clock that was set back."""

    def __init__(self, log: Log, chance: random.Random) -> None:
        self._log = log
        self._chance = chance
        self._link = Link(os.environ["FAULTS_DSN"])
        self._clock_back_until = 0.0
        self._reap_at = 0.0

    def run(self) -> None:
        """Ticks until it is killed."""
        while True:
            called_at = datetime.now(UTC)
            try:
                self._turn()
            except psycopg.Error as error:
                self._log.error(error, called_at=called_at)
            time.sleep(self._chance.uniform(0.02, 0.1))

    def _turn(self) -> None:
        if self._chance.random() < 0.01:
            self._clock_back_until = time.monotonic() + 2
        tick = TICK_BACK if time.monotonic() < self._clock_back_until else TICK
        shards = [row["shard"] for row in self._link.call(DUE)]
        self._chance.shuffle(shards)
        for shard in (*shards, *shards[:1]):
            self._link.call(tick, shard=shard)
        if time.monotonic() >= self._reap_at:
            self._link.call("select scheduler.reap()")
            self._reap_at = time.monotonic() + self._chance.uniform(0.4, 0.6)


class Worker:
    """Claims, runs and ends executions on one connection, SQL jobs on a second, and beats on a third."""

    def __init__(self, log: Log, chance: random.Random) -> None:
        self._log = log
        self._chance = chance
        self._worker_id = uuid4()
        self._lease = timedelta(seconds=float(os.environ["FAULTS_LEASE_SECONDS"]))
        self._link = Link(os.environ["FAULTS_DSN"])
        self._sql_link = Link(os.environ["FAULTS_SQL_DSN"], autocommit=False)
        self._held: list[tuple[UUID, int]] = []
        self._cancelled: set[tuple[UUID, int]] = set()
        self._failed: deque[DictRow] = deque(maxlen=3)
        self._has_beaten = threading.Event()

    def run(self) -> None:
        """Works until it is killed."""
        threading.Thread(target=self._beat, daemon=True).start()
        self._has_beaten.wait()
        while True:
            called_at = datetime.now(UTC)
            try:
                if not self._turn():
                    time.sleep(self._chance.uniform(0.02, 0.08))
            except psycopg.Error as error:
                self._log.error(error, called_at=called_at)
                time.sleep(0.05)

    def _beat(self) -> None:
        link = Link(os.environ["FAULTS_DSN"])
        while True:
            called_at = datetime.now(UTC)
            held = self._held
            try:
                orders = link.call(
                    BEAT,
                    worker_id=self._worker_id,
                    node_id=self._log.process,
                    lease=self._lease,
                    execution_ids=[execution_id for execution_id, _ in held],
                    attempts=[attempt for _, attempt in held],
                )
            except psycopg.Error as error:
                self._log.error(error, called_at=called_at)
                time.sleep(0.05)
                continue
            self._cancelled |= {
                (row["execution_id"], row["attempt"]) for row in orders if row["reason"] == "cancelled"
            }
            self._has_beaten.set()
            time.sleep(self._lease.total_seconds() / 4)

    def _turn(self) -> bool:
        called_at = datetime.now(UTC)
        claimed = self._link.call(CLAIM, worker_id=self._worker_id, max_executions=BATCH)
        self._held = [(row["execution_id"], row["attempt"]) for row in claimed]
        for row in claimed:
            self._note(row, op="claim", called_at=called_at, outcome="ok")
        others = []
        for row in claimed:
            if row["job_type"] == "sql":
                self._run_sql_job(row)
            else:
                long = self._chance.random() < LONG
                time.sleep(LONG_SECONDS if long else self._chance.uniform(0.0, 0.1) * row["attempt"])
                others.append(row)
        if others:
            statuses = ["failed" if self._chance.random() < FLAKY else "succeeded" for _ in others]
            self._finish(others, statuses)
            self._failed += [r for r, status in zip(others, statuses, strict=True) if status == "failed"]
        self._held = []
        self._repeat()
        return bool(claimed)

    def _repeat(self) -> None:
        """Reports an old failure again, as if its answer had been lost; the next attempt may run by now."""
        if self._failed:
            self._finish([self._chance.choice(self._failed)], ["failed"])

    def _run_sql_job(self, row: DictRow) -> None:
        called_at = datetime.now(UTC)
        try:
            with self._sql_link.use() as conn, conn.transaction():
                conn.execute(
                    BEGIN_SQL_JOB,
                    {"execution_id": str(row["execution_id"]), "attempt": str(row["attempt"])},
                )
                conn.execute(row["target"]["statement"])
                finished = conn.execute(FINISH_SQL_JOB, row).fetchone()
                if finished is None or not finished["accepted"]:
                    raise StaleError
        except StaleError:
            outcome = "refused"
        except psycopg.Error as error:
            self._log.error(error, called_at=called_at)
            outcome = "unknown"
        else:
            outcome = "ok"
        self._note(row, op="finish", called_at=called_at, outcome=outcome, status="succeeded")
        if outcome == "unknown":  # committed or not: if it was, this is refused
            self._finish([row], ["failed"])

    def _finish(self, rows: list[DictRow], statuses: list[str]) -> None:
        statuses = [
            "cancelled" if (row["execution_id"], row["attempt"]) in self._cancelled else status
            for row, status in zip(rows, statuses, strict=True)
        ]
        for _ in range(20):
            called_at = datetime.now(UTC)
            try:
                refused = self._link.call(
                    FINISH,
                    worker_id=self._worker_id,
                    execution_ids=[row["execution_id"] for row in rows],
                    attempts=[row["attempt"] for row in rows],
                    statuses=statuses,
                )
            except psycopg.Error as error:
                self._log.error(error, called_at=called_at)
                for row, status in zip(rows, statuses, strict=True):
                    self._note(row, op="finish", called_at=called_at, outcome="unknown", status=status)
                time.sleep(0.05)
                continue
            stale = {(row["execution_id"], row["attempt"]) for row in refused}
            for row, status in zip(rows, statuses, strict=True):
                outcome = "refused" if (row["execution_id"], row["attempt"]) in stale else "ok"
                self._note(row, op="finish", called_at=called_at, outcome=outcome, status=status)
            return

    def _note(self, row: DictRow, **facts: Any) -> None:
        self._log.note(
            worker_id=self._worker_id, execution_id=row["execution_id"], attempt=row["attempt"], **facts
        )


def main() -> None:
    """Becomes a ticker or a worker, as the first argument says; the second is the file for its notes."""
    kind, path, seed = sys.argv[1:]
    log, chance = Log(path), random.Random(seed)
    if kind == "ticker":
        Ticker(log, chance).run()
    else:
        Worker(log, chance).run()


if __name__ == "__main__":
    main()

"""The life of executions as a state machine: whatever happens in whatever order, each is in one place.

A second, naive account of every execution is kept in Python and compared with the database after each step.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.sql.engine import Engine, Row, Worker, refused

LEASE = timedelta(seconds=10)
TABLES = ("waiting", "running", "history", "dedup_keys", "retried", "rollups", "workers", "audit_log")
# Of those that there are: what is drawn must not hang on how many, since which is claimed first is chance.
WHICH = st.integers(0, 59)
ENDS = ("succeeded", "failed", "cancelled", "expired")


@dataclass
class Account:
    """What we think of one execution."""

    run_at: datetime
    max_attempts: int
    dedup_key: str | None
    status: str = "waiting"
    attempt: int = 0
    base: int = 0
    crashes: int = 0
    owner: Worker | None = None
    is_cancelled: bool = False
    end: int = 0  # the attempt number that its end took

    def ended(self, status: str, *, started: bool = True) -> None:
        """Notes an end; one that came before a start takes a number too."""
        self.status, self.owner, self.is_cancelled = status, None, False
        self.end = self.attempt + (0 if started else 1)

    def waits(self, *, uncounted: bool) -> None:
        """Notes that it waits for another attempt."""
        self.status, self.owner = "waiting", None
        self.base += uncounted


class Life(RuleBasedStateMachine):
    """Two workers, a few dedup keys, and a clock."""

    def __init__(self, engine: Engine) -> None:
        """Empties the database."""
        super().__init__()
        self.engine = engine
        for table in TABLES:
            engine.db.execute(f"delete from scheduler_internal.{table}")
        engine.clock.set("2031-03-05T12:00:00+00:00")
        self.accounts: dict[UUID, Account] = {}
        self.claims: list[tuple[Worker, Row]] = []
        self.workers = [engine.worker() for _ in range(2)]
        self.beats = {worker.worker_id: engine.clock.now for worker in self.workers}

    def has_lease(self, worker: Worker) -> bool:
        """Says whether a worker was heard of within its lease."""
        beat = self.beats.get(worker.worker_id)
        return beat is not None and beat + LEASE > self.engine.clock.now

    def keys(self) -> dict[str, UUID]:
        """Returns who holds which key."""
        return {
            account.dedup_key: execution_id
            for execution_id, account in self.accounts.items()
            if account.dedup_key is not None and account.status not in ENDS
        }

    @rule(
        key=st.sampled_from([None, None, "a", "b"]),
        max_attempts=st.integers(1, 3),
        delay=st.sampled_from([0, 0, 0, 20]),
    )
    def enqueue(self, key: str | None, max_attempts: int, delay: int) -> None:
        run_at = self.engine.clock.now + timedelta(seconds=delay)
        execution_id = self.engine.enqueued(
            dedup_key=key, max_attempts=max_attempts, run_at=run_at, backoff_base="0", backoff_max="0"
        )
        holder = self.keys().get(key) if key is not None else None
        if holder is not None:
            assert execution_id == holder
        else:
            assert execution_id not in self.accounts
            self.accounts[execution_id] = Account(run_at, max_attempts, key)

    @rule(which=st.integers(0, 1), count=st.integers(1, 3))
    def claim(self, which: int, count: int) -> None:
        worker = self.workers[which]
        if not self.has_lease(worker):
            with refused("JB001", "has no lease"):
                worker.claim(count)
            return
        now = self.engine.clock.now
        ready = [i for i, a in self.accounts.items() if a.status == "waiting" and a.run_at <= now]
        rows = worker.claim(count)
        assert len(rows) == min(count, len(ready))
        for row in rows:
            account = self.accounts[row["execution_id"]]
            assert row["execution_id"] in ready
            assert row["attempt"] == account.attempt + 1
            account.attempt, account.status, account.owner = row["attempt"], "running", worker
            self.claims.append((worker, row))

    def _is_current(self, worker: Worker, row: Row) -> bool:
        account = self.accounts[row["execution_id"]]
        return account.owner is worker and account.attempt == row["attempt"]

    @rule(
        which=WHICH,
        status=st.sampled_from(["succeeded", "failed", "failed", "cancelled"]),
        useless=st.booleans(),
    )
    def finish(self, which: int, status: str, useless: bool) -> None:
        if not self.claims:
            return
        worker, row = self.claims[which % len(self.claims)]
        error = {"message": "no", "retry": not useless} if status == "failed" else None
        stale = worker.finish(row, status=status, error=error)
        if not self._is_current(worker, row):
            assert stale == [(row["execution_id"], row["attempt"])]
            return
        assert stale == []
        account = self.accounts[row["execution_id"]]
        is_last = account.attempt - account.base >= account.max_attempts
        if status != "failed" or useless or is_last or account.is_cancelled:
            account.ended(status)
        else:
            account.waits(uncounted=False)
            account.run_at = self.engine.clock.now

    def _give_back(self, account: Account) -> None:
        if account.is_cancelled:
            account.ended("cancelled", started=False)
        else:
            account.waits(uncounted=True)

    @rule(which=WHICH)
    def release(self, which: int) -> None:
        if not self.claims:
            return
        worker, row = self.claims[which % len(self.claims)]
        is_current = self._is_current(worker, row)
        assert worker.release(row) == is_current
        if is_current:
            self._give_back(self.accounts[row["execution_id"]])

    @rule(which=st.integers(0, 1))
    def beat(self, which: int) -> None:
        worker = self.workers[which]
        held = [row for owner, row in self.claims if owner is worker and self._is_current(worker, row)]
        told = {row["execution_id"]: row["reason"] for row in worker.beat(*held)}
        self.beats[worker.worker_id] = self.engine.clock.now
        expected = {row["execution_id"] for row in held if self.accounts[row["execution_id"]].is_cancelled}
        assert told == dict.fromkeys(expected, "cancelled")

    @rule(which=st.integers(0, 1))
    def stop(self, which: int) -> None:
        worker = self.workers[which]
        self.engine.stop_worker(worker_id=worker.worker_id)
        self.beats.pop(worker.worker_id, None)
        for account in self.accounts.values():
            if account.owner is worker:
                self._give_back(account)

    @rule()
    def reap(self) -> None:
        lost = [a for a in self.accounts.values() if a.owner is not None and not self.has_lease(a.owner)]
        assert self.engine.reap() == len(lost)
        for account in lost:
            account.crashes += 1
            if account.is_cancelled:
                account.ended("cancelled")
            elif account.crashes == 3:
                account.ended("failed")
            else:
                account.waits(uncounted=True)

    @rule(which=WHICH)
    def cancel(self, which: int) -> None:
        if not self.accounts:
            return
        execution_id = list(self.accounts)[which % len(self.accounts)]
        account = self.accounts[execution_id]
        assert self.engine.cancel_execution(execution_id=execution_id) is (account.status not in ENDS)
        if account.status == "running":
            account.is_cancelled = True
        elif account.status == "waiting":
            account.ended("cancelled", started=False)

    @rule(which=WHICH)
    def retry(self, which: int) -> None:
        if not self.accounts:
            return
        execution_id = list(self.accounts)[which % len(self.accounts)]
        account = self.accounts[execution_id]
        is_over = account.status in ENDS
        if is_over and account.dedup_key in self.keys():
            with refused("55000", "^its dedup_key is taken$"):
                self.engine.retry_execution(execution_id=execution_id)
            return
        assert self.engine.retry_execution(execution_id=execution_id) is is_over
        if is_over:
            account.status, account.run_at, account.crashes = "waiting", self.engine.clock.now, 0
            account.attempt = account.base = account.end

    @rule(seconds=st.sampled_from([1, 5, 9, 11, 60]))
    def advance(self, seconds: int) -> None:
        self.engine.clock.advance(seconds=seconds)

    @invariant()
    def each_is_in_one_place(self) -> None:
        now = self.engine.clock.now
        expected: dict[UUID, tuple[Any, ...]] = {}
        for execution_id, account in self.accounts.items():
            status = account.status
            if status == "waiting":
                status = "ready" if account.run_at <= now else "scheduled"
            expected[execution_id] = (status, account.attempt)
        rows = self.engine.select("select execution_id, status, attempt from scheduler.executions")
        assert len(rows) == len(expected)
        assert {row["execution_id"]: (row["status"], row["attempt"]) for row in rows} == expected
        held = {execution_id: key for key, execution_id in self.keys().items()}
        keys = self.engine.select("select execution_id, dedup_key from scheduler_internal.dedup_keys")
        assert {row["execution_id"]: row["dedup_key"] for row in keys} == held

    @invariant()
    def every_end_is_counted_once(self) -> None:
        query = """
            select (select array[count(*) filter (where final and status = 'succeeded'),
                                 count(*) filter (where final and status = 'failed'),
                                 count(*) filter (where final and status = 'cancelled'),
                                 count(*) filter (where not final)]
                    from scheduler_internal.history) as history,
                   (select array[coalesce(sum(succeeded), 0), coalesce(sum(failed), 0),
                                 coalesce(sum(cancelled), 0), coalesce(sum(retried), 0)]
                    from scheduler.stats) as stats
        """
        (row,) = self.engine.select(query)
        assert row["history"] == [int(count) for count in row["stats"]]


@pytest.mark.slow
def test_the_life_of_executions(engine: Engine) -> None:
    run_state_machine_as_test(
        lambda: Life(engine),  # type: ignore[arg-type]
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )

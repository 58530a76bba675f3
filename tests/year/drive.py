"""Lives through a year: whatever is done to the database is done to the model, and their answers compared."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from tests.sql.engine import Engine, Row
from tests.year.model import Execution, Job, Policy, State
from tests.year.plan import DENSE, END, PAIRS, START, random_schedule

RETRY_AFTER = timedelta(minutes=20)
LATENESS = [timedelta(seconds=seconds) for seconds in (0, 0, 0, 0.5, 59, 60, 60.000001, 300)]
DURATIONS = [timedelta(0)] * 10 + [timedelta(hours=2)] * 5 + [timedelta(days=1)] * 3 + [timedelta(days=5)]
OUTAGES = {
    40: 0.5,
    69: 3,
    120: 21,
    200: 0.2,
    250: 9,
    300: 2,
    303: 2,
    340: 12,
}  # day of the year: days of silence


class Year:
    """A database, two hundred jobs, and what ought to become of them."""

    def __init__(self, engine: Engine, jobs: list[Job], random: Random, *, hours_between: float) -> None:
        """Creates the jobs at the start of the year."""
        self.engine, self.random, self.hours_between = engine, random, hours_between
        self.now = START
        engine.clock.set(START)
        self.worker = engine.worker(lease="1 hour")
        self.jobs: dict[UUID, Job] = {}
        self.running: dict[tuple[UUID, datetime], tuple[Row, Execution, datetime]] = {}
        self.outages = [(START + timedelta(days=day), timedelta(days=days)) for day, days in OUTAGES.items()]
        for job in jobs:
            job_id = engine.create_job(
                name=job.name,
                job_type="sql",
                target="select 1",
                schedule=job.schedule.text,
                timezone=job.schedule.zone,
                dst=job.schedule.dst,
                timeout="30 days",
                max_attempts=2,
                **vars(job.policy),
            )
            self.jobs[job_id] = job

    def live(self) -> None:
        """Lives to the end of the year."""
        while self.now < END:
            self._wait()
            self._work()
            if self.random.random() < 0.1:
                self._change()
            if self.random.random() < 0.85:
                self._tick()
            self._look_at_new()
            self._claim()

    def _wait(self) -> None:
        due = [instant for job in self.jobs.values() if not job.is_paused and (instant := job.next_due())]
        if due and self.random.random() < 0.4:
            now = max(min(due), self.now) + self.random.choice(LATENESS)
        else:
            now = self.now + timedelta(hours=self.random.uniform(0.01, 2 * self.hours_between))
        if self.outages and now >= self.outages[0][0]:
            now += self.outages.pop(0)[1]
        self.now = min(now, END)
        self.engine.clock.set(self.now)

    def _work(self) -> None:
        """Ends what has taken its time or must stop."""
        told = self.worker.beat(*[row for row, _, _ in self.running.values()])
        assert {row["reason"] for row in told} <= {"cancelled"}
        cancelled = {row["execution_id"] for row in told}
        ended: list[tuple[Row, str]] = []
        ends: dict[UUID, list[tuple[Execution, State]]] = {}
        for key, (row, execution, ends_at) in list(self.running.items()):
            assert (row["execution_id"] in cancelled) == execution.is_cancelled
            if not execution.is_cancelled and ends_at > self.now:
                continue
            fails = (
                not execution.is_cancelled and row["attempt"] == 1 and execution.fire_at.toordinal() % 10 == 0
            )
            status = "cancelled" if execution.is_cancelled else "failed" if fails else "succeeded"
            state: State = "cancelled" if execution.is_cancelled else "waiting" if fails else "succeeded"
            if fails:
                execution.run_at = self.now + RETRY_AFTER
            ended.append((row, status))
            ends.setdefault(key[0], []).append((execution, state))
            del self.running[key]
        stale = self.engine.rows(
            "finish",
            worker_id=self.worker.worker_id,
            execution_ids=[row["execution_id"] for row, _ in ended],
            attempts=[row["attempt"] for row, _ in ended],
            statuses=[status for _, status in ended],
            retry_after=[RETRY_AFTER] * len(ended),
        )
        assert stale == []
        for job_id, states in ends.items():
            self.jobs[job_id].end(states, self.now)
        # Every ticker does this each second.
        assert self.engine.reap() == 0
        for job in self.jobs.values():
            job.expire(self.now)
            job.let_go(self.now)

    def _tick(self) -> None:
        max_fires = self.random.choice([1000, 1000, 1000, 1000, 7])
        while (next_due := self.engine.rows("tick", max_fires=max_fires)[0]["next_due_at"]) is not None:
            if next_due > self.now:
                break
        for job in self.jobs.values():
            if not job.is_paused and not job.is_deleted:
                job.decide(self.now)

    def _look_at_new(self) -> None:
        """Takes over the jittered starts, which only the database knows, when they lie where they must."""
        query = """
            select job_id, fire_at, nullif(run_at, 'infinity') as run_at, expires_at
            from scheduler_internal.waiting where created_at = %s and origin = 'f'
        """
        for row in self.engine.select(query, self.now):
            job = self.jobs[row["job_id"]]
            found = [execution for execution in job.executions if execution.fire_at == row["fire_at"]]
            assert len(found) == 1, self._difference({(row["job_id"], row["fire_at"])}, set())
            (execution,) = found
            if execution.attempts or execution.latest == execution.fire_at:
                continue
            if row["run_at"] is not None:
                assert self.now <= row["run_at"] < max(execution.latest, self.now + timedelta(microseconds=1))
                execution.run_at = row["run_at"]
            if execution.expires_at is not None:
                assert self.now < row["expires_at"] <= max(execution.latest, self.now) + timedelta(days=3)
                execution.expires_at = row["expires_at"]

    def _claim(self) -> None:
        # How long claims begin at bounds goes by the real clock, and here it is hours between two of them.
        self.engine.db.execute("update scheduler_internal.claim_sweeps set next_at = null")
        rows = self.worker.claim(10_000)
        claimed = {(row["job_id"], row["fire_at"]): row for row in rows}
        ready = {
            (job_id, execution.fire_at): execution
            for job_id, job in self.jobs.items()
            for execution in job.ready(self.now)
        }
        assert len(claimed) == len(rows)
        assert set(claimed) == set(ready), self._difference(set(claimed), set(ready))
        for key, row in claimed.items():
            execution = ready[key]
            execution.state = "running"
            execution.attempts += 1
            # By a random source of its own: the order of claims is not fixed.
            duration = Random(f"{self.jobs[key[0]].name} {execution.fire_at}").choice(DURATIONS)
            self.running[key] = (row, execution, self.now + duration)

    def _change(self) -> None:
        job_id = self.random.choice([job_id for job_id, job in self.jobs.items() if not job.is_deleted])
        job = self.jobs[job_id]
        match self.random.choice(
            ["pause", "pause", "resume", "resume", "schedule", "policy", "backfill", "delete"]
        ):
            case "pause" if not job.is_paused:
                job.is_paused = True
                self.engine.pause_job(job_id=job_id)
            case "resume":
                for paused_id, paused in self.jobs.items():
                    if paused.is_paused and not paused.is_deleted and self.random.random() < 0.5:
                        paused.decide(self.now)
                        paused.is_paused = False
                        self.engine.resume_job(job_id=paused_id)
            case "schedule":
                self._change_schedule(job_id, job)
            case "policy":
                misfire, overlap = self.random.choice(PAIRS)
                window, cap = misfire.misfire_window, misfire.misfire_cap
                policy: Policy = replace(
                    job.policy,
                    misfire=misfire.misfire,
                    misfire_window=window,
                    misfire_cap=cap,
                    overlap=overlap,
                )
                job.change(self.now, policy=policy)
                changes = {"misfire": policy.misfire, "misfire_cap": cap, "overlap": overlap}
                length = None if window is None else f"{window.total_seconds()} seconds"
                self.engine.update_job(job_id=job_id, changes={**changes, "misfire_window": length})
            case "backfill":
                days = self.random.uniform(0, 0.2 if job.schedule.text in DENSE else 9)
                first = max(START, self.now - timedelta(days=days))
                last = first + (self.now - first) * self.random.random()
                made = self.engine.backfill_job(job_id=job_id, from_time=first, to_time=last)
                assert made == job.backfill(first, last, self.now)
            case "delete" if self.random.random() < 0.3:
                job.decide(self.now)
                job.is_deleted = True
                self.engine.delete_job(job_id=job_id)

    def _change_schedule(self, job_id: UUID, job: Job) -> None:
        schedule = random_schedule(self.random, may_be_dense=False)
        changed = replace(job, schedule=schedule, decided_upto=self.now, _next=None)
        if changed.next_due() is None:
            return  # it would be refused: it has no future
        job.change(self.now, schedule=schedule)
        changes = {"schedule": schedule.text, "timezone": schedule.zone, "dst": schedule.dst}
        self.engine.update_job(job_id=job_id, changes=changes)

    def check(self) -> int:
        """Compares everything with the model, and returns the number of verdicts."""
        for job in self.jobs.values():
            if job.is_paused and not job.is_deleted:
                job.decide(self.now)  # the ledger shows the pause so far
        fires = self.engine.select("select job_id, fire_at, verdict from scheduler.fires")
        ledger: dict[tuple[UUID, datetime], str] = {}
        for row in fires:
            key = (row["job_id"], row["fire_at"])
            assert key not in ledger, f"two verdicts: {self.jobs[key[0]]} {key[1]}"
            ledger[key] = row["verdict"]
        expected = {
            (job_id, at): verdict for job_id, job in self.jobs.items() for at, verdict in job.ledger.items()
        }
        assert ledger == expected, self._difference(set(ledger.items()), set(expected.items()))
        self._check_executions()
        self._check_jobs()
        return len(ledger)

    def _check_executions(self) -> None:
        query = """
            select job_id, fire_at, origin, case when run_at is null then 'held'
                when status in ('ready', 'scheduled') then 'waiting' else status end as state
            from scheduler.executions
        """
        states = {
            (row["job_id"], row["fire_at"], row["origin"]): row["state"] for row in self.engine.select(query)
        }
        expected = {
            (job_id, execution.fire_at, origin): execution.state
            for job_id, job in self.jobs.items()
            for origin, executions in (("fire", job.executions), ("backfill", job.backfills))
            for execution in executions
        }
        assert states == expected, self._difference(set(states.items()), set(expected.items()))

    def _check_jobs(self) -> None:
        rows = self.engine.select("select job_id, next_fire_at, broken_reason from scheduler.jobs")
        assert {row["broken_reason"] for row in rows} == {None}
        expected = {
            job_id: None if job.is_paused else job.next_due()
            for job_id, job in self.jobs.items()
            if not job.is_deleted
        }
        assert {row["job_id"]: row["next_fire_at"] for row in rows} == expected

    def _difference(self, ours: set[Any], theirs: set[Any]) -> str:
        lines = [f"at {self.now}"]
        for name, only in (("database", ours - theirs), ("model", theirs - ours)):
            for item in sorted(only, key=str)[:5]:
                job_id = item[0][0] if isinstance(item[0], tuple) else item[0]
                job = self.jobs[job_id]
                lines.append(f"only in the {name}: {item[1:]} {item[0]} {job.schedule} {job.policy}")
        return "\n".join(lines)

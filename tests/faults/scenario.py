"""A run: hundreds of schedules, processes that work on them, and what is done to both."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice, product
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg import Connection, sql

from tests.conftest import Database
from tests.faults.history import History, Job, Stall, read_database, read_notes

Kind = Literal["ticker", "worker"]

QUIET_SECONDS = 40.0
FREEZE_LEASES = (0.9, 2.0)  # most are longer than the lease; many thaw just when others have taken over
OUTAGE_SECONDS = 2.5
MOST_FROZEN = 3
CANARY_SECONDS = 0.05
HICCUP_SECONDS = 0.03

# The server's record of who beat when, and what SQL jobs leave behind: not part of pgtick.
OBSERVERS = """
    create table public.beats (worker_id uuid not null, at timestamptz not null);
    create function public.note_beat() returns trigger language plpgsql security definer as $$
    begin
        insert into public.beats values (new.worker_id, clock_timestamp());
        return null;
    end $$;
    create trigger note_beat after insert or update of last_beat_at on scheduler_internal.workers
        for each row execute function public.note_beat();
    create table public.effects (execution_id uuid not null, attempt integer not null);
    grant insert on public.effects to scheduler_sql;
"""
EFFECT = """
    insert into public.effects (execution_id, attempt)
    select current_setting('scheduler.execution_id')::uuid, current_setting('scheduler.attempt')::integer
    from pg_sleep(0.03)
"""
CREATE_JOB = """
    select scheduler.create_job(
        name => %(name)s, job_type => %(job_type)s, target => %(target)s, schedule => %(schedule)s,
        max_attempts => 5, backoff => 'fixed', backoff_base => '0.2 seconds', backoff_max => '1 second',
        expires_after => %(expires_after)s, misfire => %(misfire)s, overlap => %(overlap)s,
        starts_at => %(starts_at)s, ends_at => %(ends_at)s)
"""
SCHEDULES = (
    ("* * * * * *", 1),
    ("*/2 * * * * *", 2),
    ("every 3 seconds from 2026-01-01T00:00:00Z", 3),
    ("*/5 * * * * *", 5),
)
MISFIRES = ("fire_once", "fire_all", "skip")
OVERLAPS = ("allow", "skip", "queue_one", "cancel_running")
BUSY = """
    select exists (select from scheduler.jobs where next_fire_at is not null)
        or exists (select from scheduler.executions where status in ('scheduled', 'ready', 'running'))
"""
BACKENDS = """
    select pid from pg_stat_activity
    where datname = current_database() and usename in ('pgtick_worker', 'pgtick_sql')
    order by pid
"""


@dataclass
class Process:
    """A process under test."""

    kind: Kind
    popen: subprocess.Popen[bytes]
    thaw_at: float | None = None


@dataclass
class Scenario:
    """Everything that a run is made of; `command` says how a process is started."""

    database: Database
    folder: Path
    seed: int
    seconds: float
    tickers: int = 8
    workers: int = 8
    jobs: int = 160
    lease_seconds: float = 2.0
    start_seconds: float = 4.0
    pause_seconds: tuple[float, float] = (0.15, 0.6)
    command: Callable[[Scenario, Kind, int], tuple[Sequence[str], dict[str, str]]] = field(
        default_factory=lambda: small_process
    )

    def __post_init__(self) -> None:
        """Derives the dice from the seed."""
        self.chance = random.Random(self.seed)
        self.faults: dict[str, int] = {}
        self._processes: list[Process] = []
        self._started = 0
        self._stalls: list[Stall] = []

    def run(self) -> History:
        """Runs it to its end and returns its history."""
        with (
            psycopg.connect(self.database.dsn(direct=True), autocommit=True, prepare_threshold=None) as db,
            self._canary(),
        ):
            db.execute(OBSERVERS)
            db.execute(
                sql.SQL("alter database {} set scheduler.tick_lock = 'off'").format(
                    sql.Identifier(self.database.name)
                )
            )
            if self.database.pooler is not None:
                self.database.pooler.reconnect(self.database.name)
            history = History(lease=timedelta(seconds=self.lease_seconds))
            starts_at = time.time() + self.start_seconds
            history.jobs, effectful = self._create_jobs(db, starts_at)
            history.effectful = frozenset(effectful)
            try:
                for kind, count in (("ticker", self.tickers), ("worker", self.workers)):
                    for _ in range(count):
                        self._start("ticker" if kind == "ticker" else "worker")
                time.sleep(max(0.0, starts_at - time.time()))
                self._break_things(db, until=starts_at + self.seconds)
                self._wait_quiet(db)
            finally:
                self._end_all()
            read_database(db, history)
            history.notes = read_notes(self.folder)
            history.stalls = self._stalls
        return history

    def _create_jobs(self, db: Connection[Any], starts_at: float) -> tuple[list[Job], set[Any]]:
        # Half seconds, so that no instant lies on a bound.
        first, last = (
            datetime.fromtimestamp(int(at) + 0.5, tz=UTC) for at in (starts_at, starts_at + self.seconds)
        )
        jobs, effectful = [], set()
        kinds = cycle(product(OVERLAPS, MISFIRES, SCHEDULES))
        for number, (overlap, misfire, (schedule, step)) in enumerate(islice(kinds, self.jobs)):
            is_sql = self.chance.random() < 0.5
            target = {"statement": EFFECT} if is_sql else {"handler": "flaky"}
            name = f"job {number}"
            row = db.execute(
                CREATE_JOB,
                {
                    "name": name,
                    "job_type": "sql" if is_sql else "python",
                    "target": psycopg.types.json.Jsonb(target),
                    "schedule": schedule,
                    "expires_after": timedelta(seconds=1.5) if number % 10 == 0 else None,
                    "misfire": misfire,
                    "overlap": overlap,
                    "starts_at": first,
                    "ends_at": last,
                },
            ).fetchone()
            assert row is not None
            jobs.append(Job(row[0], name, step, first, last, misfire, overlap))
            if is_sql:
                effectful.add(row[0])
        return jobs, effectful

    def _start(self, kind: Kind) -> None:
        self._started += 1
        arguments, environment = self.command(self, kind, self._started)
        with (self.folder / "stderr.txt").open("ab") as errors:
            popen = subprocess.Popen(
                arguments,
                stdout=errors,
                stderr=errors,
                env=os.environ | environment,
                start_new_session=True,
            )
        self._processes.append(Process(kind, popen))

    def _break_things(self, db: Connection[Any], *, until: float) -> None:
        outage_at = until - self.seconds * 0.6
        while time.time() < until:
            if time.time() >= outage_at:
                outage_at = until + 1
                self._stop_all_tickers()
            match self.chance.choices(("kill", "freeze", "terminate"), weights=(4, 4, 3))[0]:
                case "kill":
                    self._kill()
                case "freeze":
                    self._freeze()
                case _:
                    self._terminate(db)
            pause_until = time.time() + self.chance.uniform(*self.pause_seconds)
            while time.time() < pause_until:
                time.sleep(0.05)
                self._thaw(due_by=time.monotonic())
        self._thaw(due_by=float("inf"))

    def _kill(self) -> None:
        victim = self.chance.choice(self._processes)
        self._count(f"kill {victim.kind}")
        victim.popen.kill()
        victim.popen.wait()
        self._processes.remove(victim)
        self._start(victim.kind)

    def _freeze(self) -> None:
        victim = self.chance.choice(self._processes)
        frozen = sum(p.kind == victim.kind and p.thaw_at is not None for p in self._processes)
        if victim.thaw_at is None and frozen < MOST_FROZEN:
            self._count(f"freeze {victim.kind}")
            victim.popen.send_signal(signal.SIGSTOP)
            victim.thaw_at = time.monotonic() + self.lease_seconds * self.chance.uniform(*FREEZE_LEASES)

    def _terminate(self, db: Connection[Any]) -> None:
        pids = [row[0] for row in db.execute(BACKENDS).fetchall()]
        if pids:
            self._count("terminate backend")
            db.execute("select pg_terminate_backend(%s)", [self.chance.choice(pids)])

    def _stop_all_tickers(self) -> None:
        """Has every ticker miss some instants, so that there is something to make good for."""
        self._count("freeze all tickers")
        tickers = [p for p in self._processes if p.kind == "ticker"]
        start = datetime.now(UTC)
        for ticker in tickers:
            ticker.popen.send_signal(signal.SIGSTOP)
        time.sleep(OUTAGE_SECONDS)
        for ticker in tickers:
            ticker.popen.send_signal(signal.SIGCONT)
            ticker.thaw_at = None
        self._stalls.append(Stall(start, datetime.now(UTC)))

    def _thaw(self, *, due_by: float) -> None:
        for process in self._processes:
            if process.thaw_at is not None and process.thaw_at <= due_by:
                process.popen.send_signal(signal.SIGCONT)
                process.thaw_at = None

    def _wait_quiet(self, db: Connection[Any]) -> None:
        """Waits until nothing is due and everything has ended; what never ends is for the checker to find."""
        give_up_at = time.monotonic() + QUIET_SECONDS
        while time.monotonic() < give_up_at:
            row = db.execute(BUSY).fetchone()
            if row == (False,):
                return
            time.sleep(0.2)

    def _end_all(self) -> None:
        for process in self._processes:
            process.popen.kill()
        for process in self._processes:
            process.popen.wait()

    def _count(self, fault: str) -> None:
        self.faults[fault] = self.faults.get(fault, 0) + 1

    @contextmanager
    def _canary(self) -> Iterator[None]:
        """Notes while it lives when this machine and its database were slow by themselves."""
        done = threading.Event()

        def sing() -> None:
            with psycopg.connect(self.database.dsn(direct=True), autocommit=True) as db:
                before = time.time()
                while not done.wait(CANARY_SECONDS):
                    db.execute("select pg_current_xact_id()")
                    after = time.time()
                    if after - before > CANARY_SECONDS + HICCUP_SECONDS:
                        start, end = (datetime.fromtimestamp(at, tz=UTC) for at in (before, after))
                        self._stalls.append(Stall(start, end))
                    before = after

        thread = threading.Thread(target=sing)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def small_process(scenario: Scenario, kind: Kind, number: int) -> tuple[Sequence[str], dict[str, str]]:
    """Returns how the smallest process of a kind is started."""
    database = scenario.database
    path = scenario.folder / f"{kind}-{number:04}.jsonl"
    return (
        (sys.executable, "-m", "tests.faults.process", kind, str(path), str(scenario.seed * 10_000 + number)),
        {
            "FAULTS_DSN": database.dsn(user="pgtick_worker"),
            "FAULTS_SQL_DSN": database.dsn(user="pgtick_sql"),
            "FAULTS_LEASE_SECONDS": str(scenario.lease_seconds),
        },
    )


def real_process(scenario: Scenario, kind: Kind, number: int) -> tuple[Sequence[str], dict[str, str]]:
    """Returns how pgtick's own ticker or worker is started."""
    database = scenario.database
    return (
        (sys.executable, "-m", "workers", kind),
        {
            "DB_WRITE_CONNECTION_STRING": database.dsn(user="pgtick_worker"),
            "PGTICK_SQL_CONNECTION_STRING": database.dsn(user="pgtick_sql"),
            "PGTICK_HANDLERS": "tests.faults.handlers",
            "PGTICK_LEASE_SECONDS": str(scenario.lease_seconds),
            "PGTICK_BEAT_SECONDS": str(scenario.lease_seconds / 4),
            "PGTICK_LOG_FORMAT": "json",
            "NODE_ID": f"{kind}-{number:04}",
        },
    )

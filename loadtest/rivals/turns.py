"""One contestant's turn: enqueue, drain and latency, with nobody else at work."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from loadtest.processes import kept_running
from loadtest.rivals.contestants import ROOT, Contestant
from loadtest.server import connect

PROCESSES = 2
BATCH = 1000
# What the workers run first is a third as much: V8 and the caches of the sessions take that long to get warm.
WARM_UP = 3
RATE = 20

_GATHER_SECONDS = 30.0
_DRAIN_SECONDS = 120.0
_SETTLE_SECONDS = 2.0
_START_SECONDS = 10.0


@dataclass(frozen=True)
class Place:
    """Where a contestant works: its database, and the login of its workers."""

    contestant: Contestant
    conninfo: str
    worker_conninfo: str
    is_local: bool


class Throughput(NamedTuple):
    """What jobs cost: how many a second, and for each bytes of WAL and seconds of processor time."""

    enqueued: float
    drained: float
    enqueue_wal: float
    drain_wal: float
    worker_seconds: float | None
    server_seconds: float | None


def throughput(place: Place) -> Throughput:
    """Has two processes enqueue while two warm workers are halted, and then these drain."""
    contestant, jobs = place.contestant, place.contestant.jobs
    with connect(place.conninfo) as conn:
        with warm(place, conn) as workers:
            kept = _value(conn, contestant.kept)
            position = _wal_position(conn)
            enqueue_seconds = _enqueue(place, jobs, halted=workers)
            enqueued_at = _wal_position(conn)
            # Autovacuum would have done it by the time that a queue is so long.
            conn.execute("analyze")
            analyzed_at = _wal_position(conn)
            before = _processor(conn, place, workers)
            _signal(workers, signal.SIGCONT)
            drain_seconds = _drain(conn, contestant)
            after = _processor(conn, place, workers)
            drained_at = _wal_position(conn)
        kept = _value(conn, contestant.kept) - kept
    if kept != (jobs if contestant.keeps else 0):
        raise RuntimeError(f"{contestant.name} remembers {kept} of {jobs} jobs")
    return Throughput(
        enqueued=jobs / enqueue_seconds,
        drained=jobs / drain_seconds,
        enqueue_wal=(enqueued_at - position) / jobs,
        drain_wal=(drained_at - analyzed_at) / jobs,
        worker_seconds=before and after and (after[0] - before[0]) / jobs,
        server_seconds=before and after and (after[1] - before[1]) / jobs,
    )


def latency(place: Place, seconds: float) -> list[float]:
    """Enqueues at random moments, as callers come; returns the milliseconds until each job started."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "waited"
        path.touch()
        with connect(place.conninfo) as conn, warm(place, conn, RIVALS_WAITED=str(path)):
            time.sleep(_SETTLE_SECONDS)
            done = place.contestant.run("trickle", str(RATE), str(seconds), conninfo=place.conninfo)
            sent = int(done.stdout)
            # None that is late is left out: those decide the p99.
            give_up_at = time.monotonic() + _START_SECONDS
            while len(waited := path.read_text().splitlines()) < sent and time.monotonic() < give_up_at:
                time.sleep(0.1)
    if len(waited) != sent:
        raise RuntimeError(f"{place.contestant.name} started {len(waited)} of {sent} jobs")
    return [float(line) for line in waited]


@contextmanager
def working(place: Place, **environ: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Has its workers run while the block does; one that dies is an error."""
    contestant = place.contestant
    with kept_running(
        [*contestant.command(), "work"],
        name=contestant.name,
        environ=contestant.environ(place.worker_conninfo, **environ),
        count=PROCESSES,
        folder=ROOT,
    ) as processes:
        yield processes


@contextmanager
def start_together(
    contestant: Contestant, conninfo: str, arguments: Sequence[str], *, count: int
) -> Iterator[tuple[list[subprocess.Popen[str]], Callable[[], None]]]:
    """Starts processes that wait, all connected, for the returned function to be called."""
    processes = [
        subprocess.Popen(
            [*contestant.command(), *arguments],
            env=contestant.environ(conninfo),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]

    def go() -> None:
        for process in processes:
            assert process.stdin is not None  # noqa: S101 - a pipe
            process.stdin.write("go\n")
            process.stdin.flush()

    try:
        for process in processes:
            _expect(process, "ready")
        yield processes, go
    finally:
        for process in processes:
            if process.poll() is None:
                process.terminate()
            process.communicate()


def _enqueue(place: Place, jobs: int, *, halted: Sequence[subprocess.Popen[bytes]] = ()) -> float:
    """Returns the seconds from the moment when all processes are ready until the last is done."""
    arguments = ("enqueue", str(jobs // PROCESSES), str(BATCH))
    with start_together(place.contestant, place.conninfo, arguments, count=PROCESSES) as (processes, go):
        _signal(halted, signal.SIGSTOP)
        started = time.monotonic()
        go()
        for process in processes:
            _expect(process, "done")
        return time.monotonic() - started


def _signal(processes: Sequence[subprocess.Popen[bytes]], number: signal.Signals) -> None:
    for process in processes:
        process.send_signal(number)


def _expect(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None  # noqa: S101 - a pipe
    line = process.stdout.readline().strip()
    if line != word:
        raise RuntimeError(f"{process.args!r} said {line!r} instead of {word!r}")


@contextmanager
def warm(
    place: Place, conn: psycopg.Connection[Any], **environ: str
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Has its workers run, all of which have come and have run some jobs by now."""
    _enqueue(place, place.contestant.jobs // WARM_UP)
    conn.execute("vacuum (analyze)")
    with working_together(place, conn, **environ) as workers:
        _drain(conn, place.contestant)
        conn.execute("vacuum (analyze)")
        yield workers


@contextmanager
def working_together(
    place: Place, conn: psycopg.Connection[Any], **environ: str
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Has its workers run; the queue is locked until all of them have come for jobs."""
    with connect(place.conninfo) as gate, gate.transaction():
        gate.execute(sql.SQL("lock table {} in access exclusive mode").format(_name(place.contestant.queue)))
        with ExitStack() as stack:
            workers = stack.enter_context(working(place, **environ))
            _wait_for_claimers(conn, place.contestant)
            kept_open = stack.pop_all()
    with kept_open:
        yield workers


def _wait_for_claimers(conn: psycopg.Connection[Any], contestant: Contestant) -> None:
    query = (
        "select count(*) from pg_stat_activity where datname = current_database() "
        "and backend_type = 'client backend' and wait_event_type = 'Lock'"
    )
    give_up_at = time.monotonic() + _GATHER_SECONDS
    while _value(conn, query) < contestant.claimers:
        if time.monotonic() > give_up_at:
            raise RuntimeError(f"{contestant.name}: its workers do not come for jobs")
        time.sleep(0.05)


def _drain(conn: psycopg.Connection[Any], contestant: Contestant) -> float:
    """Returns the seconds until no job is left, give or take half the pause between two looks."""
    started = before = time.monotonic()
    while True:
        asked = time.monotonic()
        if not _value(conn, contestant.left):
            return (before + asked) / 2 - started
        before = time.monotonic()
        if before > started + _DRAIN_SECONDS:
            raise RuntimeError(f"{contestant.name} has not drained its queue in {_DRAIN_SECONDS:g} s")
        # A look may cost a tenth of a core, no more.
        time.sleep(max(0.02, 9 * (before - asked)))


def _processor(
    conn: psycopg.Connection[Any], place: Place, processes: list[subprocess.Popen[bytes]]
) -> tuple[float, float] | None:
    """Returns the processor time of the workers and of the sessions that serve them, so far."""
    if not place.is_local or not Path("/proc/self/stat").exists():
        return None
    backends = conn.execute(
        "select pid from pg_stat_activity where datname = current_database() "
        "and backend_type = 'client backend' and pid <> pg_backend_pid()"
    ).fetchall()
    workers = sum(_processor_seconds(process.pid) for process in processes)
    return workers, sum(_processor_seconds(row[0]) for row in backends)


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _name(text: str) -> sql.Identifier:
    return sql.Identifier(*text.split("."))


def _wal_position(conn: psycopg.Connection[Any]) -> int:
    return _value(conn, "select (pg_current_wal_insert_lsn() - '0/0')::bigint")


def _value(conn: psycopg.Connection[Any], query: str) -> int:
    row = conn.execute(query.encode()).fetchone()
    assert row is not None  # noqa: S101 - one row
    return int(row[0])

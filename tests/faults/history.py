"""What happened in a run: what the database remembers, and what each process noted about its own calls."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import msgspec
from psycopg import Connection
from psycopg.rows import class_row


@dataclass(frozen=True, slots=True)
class Job:
    """A schedule: due from starts_at to ends_at whenever the seconds since 1970 divide by its step."""

    job_id: UUID
    name: str
    step_seconds: int
    starts_at: datetime
    ends_at: datetime
    misfire: str
    overlap: str

    def instants(self) -> list[datetime]:
        """Returns its due instants by plain arithmetic, without a look at what the scheduler makes of it."""
        first = -(-int(self.starts_at.timestamp() * 1000) // (self.step_seconds * 1000))
        last = int(self.ends_at.timestamp()) // self.step_seconds
        return [datetime.fromtimestamp(step * self.step_seconds, tz=UTC) for step in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class Fire:
    """A row of the ledger."""

    job_id: UUID
    fire_at: datetime
    verdict: str
    execution_id: UUID | None
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class Execution:
    """An execution as it stands at the end."""

    execution_id: UUID
    job_id: UUID | None
    status: str
    fire_at: datetime | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that the database remembers."""

    execution_id: UUID
    attempt: int
    status: str
    final: bool
    run_at: datetime
    started_at: datetime
    finished_at: datetime | None
    worker_id: UUID
    error_type: str | None


@dataclass(frozen=True, slots=True)
class Effect:
    """What a SQL job left in a table of its own."""

    execution_id: UUID
    attempt: int


@dataclass(frozen=True, slots=True)
class Beat:
    """A heartbeat that was committed, at the time of the server and not of whoever sent it."""

    worker_id: UUID
    at: datetime


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """One execution in one call, as the calling process saw it; `unknown`: the answer never came."""

    process: str
    op: Literal["claim", "finish", "error"]
    worker_id: UUID | None = None
    execution_id: UUID | None = None
    attempt: int = 0
    status: str = ""
    outcome: Literal["ok", "refused", "unknown"]
    called_at: datetime
    returned_at: datetime
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Stall:
    """A time in which nobody could be quick: the machine hung, or every ticker was frozen on purpose."""

    start: datetime
    end: datetime


@dataclass(slots=True)
class History:
    """Everything that the checker goes by."""

    lease: timedelta
    jobs: list[Job] = field(default_factory=list)
    fires: list[Fire] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    beats: list[Beat] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    stalls: list[Stall] = field(default_factory=list)
    effectful: frozenset[UUID] = frozenset()
    """The jobs of which each successful attempt leaves one effect."""

    def stalled(self, start: datetime, end: datetime) -> timedelta:
        """Returns how much of a time was lost to stalls."""
        parts = (min(s.end, end) - max(s.start, start) for s in self.stalls)
        return sum((part for part in parts if part > timedelta()), timedelta())


def read_database(db: Connection[Any], history: History) -> None:
    """Adds what the database remembers."""
    with db.cursor(row_factory=class_row(Fire)) as cursor:
        history.fires = cursor.execute(
            "select job_id, fire_at, verdict, execution_id, decided_at from scheduler.fires"
        ).fetchall()
    with db.cursor(row_factory=class_row(Execution)) as cursor:
        history.executions = cursor.execute(
            "select execution_id, job_id, status, fire_at, created_at, finished_at from scheduler.executions"
        ).fetchall()
    with db.cursor(row_factory=class_row(Attempt)) as cursor:
        history.attempts = cursor.execute(
            "select execution_id, attempt, status, final, run_at, started_at, finished_at, worker_id,"
            " error ->> 'type' as error_type from scheduler.attempts"
        ).fetchall()
    with db.cursor(row_factory=class_row(Effect)) as cursor:
        history.effects = cursor.execute("select execution_id, attempt from public.effects").fetchall()
    with db.cursor(row_factory=class_row(Beat)) as cursor:
        history.beats = cursor.execute("select worker_id, at from public.beats").fetchall()


def read_notes(folder: Path) -> list[Note]:
    """Returns what the processes of a run noted; the last line of a killed one may be cut."""
    notes = []
    for path in sorted(folder.glob("*.jsonl")):
        *lines, _cut = path.read_bytes().split(b"\n")
        notes += [msgspec.json.decode(line, type=Note) for line in lines]
    return notes

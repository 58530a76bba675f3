"""Shows executions as they end, a line for each."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Connection
from psycopg.rows import dict_row

from app.db import connect, describe_error
from app.documents import to_json

# What ends later than this after it was made is not shown: looking further back would read ever more history.
WINDOW = timedelta(hours=1)
# An end is dated before it is committed, so that a look goes back a little behind what the last one saw.
OVERLAP = timedelta(seconds=5)
PAUSE_SECONDS = 0.3
LINES_PER_LOOK = 100
LONGEST_RESULT = 70

ENDED = """
    select execution_id, attempt, job_name, job_type, status, started_at, finished_at, result, error
    from scheduler.executions
    where execution_id >= %s and finished_at > %s
    order by finished_at desc, execution_id desc
    limit %s
"""


class Follower:
    """Looks for executions that have ended since the last look."""

    def __init__(self, conninfo: str, say: Callable[[str], None]) -> None:
        """Begins with what ends from now on."""
        self._conninfo = conninfo
        self._say = say
        self._conn: Connection[Any] | None = None
        self._lost = False
        self._seen: dict[tuple[UUID, int], datetime] = {}
        self._since: datetime | None = None
        self._next_look_at = 0.0

    def look(self) -> None:
        """Shows what has ended, if it is time to look; a lost connection is told once and made again."""
        began = time.monotonic()
        if began < self._next_look_at:
            return
        try:
            rows = self._fetch()
        except psycopg.Error as error:
            self.close()
            if not self._lost:
                self._say(f"cannot follow: {describe_error(error)}")
            self._lost, self._next_look_at = True, began + 1.0
            return
        self._lost = False
        # One row more is fetched than is shown: only where that one is new, too, there is something untold.
        more = self._take(rows[LINES_PER_LOOK:])
        for row in reversed(self._take(rows[:LINES_PER_LOOK])):
            self._say(format_execution(row))
        if more:
            self._say("… and more: `pgtick executions list` shows all")
        # Where a look is dear, there are fewer of them: at most a tenth of the time goes into it.
        self._next_look_at = began + max(PAUSE_SECONDS, 10 * (time.monotonic() - began))

    def close(self) -> None:
        """Lets go of the connection."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def _take(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Returns those that have not been seen, and from now on are."""
        new = [row for row in rows if (row["execution_id"], row["attempt"]) not in self._seen]
        self._seen |= {(row["execution_id"], row["attempt"]): row["finished_at"] for row in new}
        return new

    def _fetch(self) -> list[dict[str, Any]]:
        if self._conn is None:
            self._conn = connect(self._conninfo)
        if self._since is None:
            found = self._conn.execute("select scheduler.now()").fetchone()
            self._since = found[0] if found else datetime.now(UTC)
        newest = max(self._seen.values(), default=self._since)
        since = max(self._since, newest - OVERLAP)
        self._seen = {key: at for key, at in self._seen.items() if at > since}
        with self._conn.cursor(row_factory=dict_row) as cursor:
            floor = _first_id(since - WINDOW)
            return cursor.execute(ENDED, [floor, since, LINES_PER_LOOK + 1]).fetchall()


def format_execution(row: dict[str, Any]) -> str:
    """Returns an execution that has ended as a line: when, what, how, how long it took, and what it said."""
    took = ""
    if row["started_at"] is not None:
        seconds = (row["finished_at"] - row["started_at"]).total_seconds()
        took = f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
    text = " ".join(_summary(row["result"] if row["error"] is None else row["error"]).split())
    if len(text) > LONGEST_RESULT:
        text = f"{text[: LONGEST_RESULT - 1]}…"
    name = row["job_name"] or str(row["execution_id"])
    at = row["finished_at"].astimezone()
    return f"{at:%H:%M:%S}  {name:<20} {row['job_type']:<8} {row['status']:<10} {took:>8}  {text}".rstrip()


def _summary(said: Any) -> str:
    """Returns what a person looks for first in a result or an error."""
    match said:
        case None:
            return ""
        case str(text) | {"message": str(text)} | {"stdout": str(text)}:
            return text
        case {"status": status, "body": body}:
            return f"{status} {body}"
    return to_json(said)


def _first_id(at: datetime) -> UUID:
    """Returns the smallest id of that time: an id begins with its milliseconds."""
    return UUID(int=int(at.timestamp() * 1000) << 80)

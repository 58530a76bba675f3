"""What the tests of job files and crontabs share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg.rows import dict_row

if TYPE_CHECKING:
    from psycopg import Connection

CRONTABS = Path(__file__).parent / "crontabs"


def jobs_of(db: Connection[Any]) -> dict[str, dict[str, Any]]:
    """All jobs by name."""
    rows = db.cursor(row_factory=dict_row).execute("select * from scheduler.jobs")
    return {row["name"]: row for row in rows}


def writes_of(db: Connection[Any]) -> tuple[int, ...]:
    """Counts that every change of a job raises."""
    row = db.execute(
        "select (select count(*) from scheduler.audit_log),"
        " (select coalesce(sum(version), 0) from scheduler.jobs), (select count(*) from scheduler.jobs)"
    ).fetchone()
    assert row is not None
    return tuple(int(value) for value in row)

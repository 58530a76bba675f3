"""Where the SQL lies, in which order it is applied, and how a whole file is run inside a revision."""

from __future__ import annotations

from pathlib import Path

from alembic import op
from psycopg import Connection

SQL = Path(__file__).resolve().parent.parent / "sql"

# Tables and types, once, by revision 0001; the first of them needs rights that the owner of the rest has not.
ROLES_AND_SCHEMAS = SQL / "state" / "01_roles_and_schemas.sql"
OWNER_CHANGE = Path(__file__).parent / "owner_change.sql"

# Re-runnable, in this order. A view may call any function and a grant may name anything.
REPEATABLE_DIRECTORIES = ("common", "cron", "jobs", "tick", "enqueue", "claim", "finish", "upkeep", "views")
GRANTS = SQL / "grants.sql"

VERSION_TABLE_SCHEMA = "scheduler_internal"


def state_files() -> list[Path]:
    """Returns the files that revision 0001 runs, in order."""
    return [path for path in sorted((SQL / "state").glob("*.sql")) if path != ROLES_AND_SCHEMAS]


def repeatable_files() -> list[Path]:
    """Returns the re-runnable files in the order in which they are applied, grants last."""
    files = [path for name in REPEATABLE_DIRECTORIES for path in sorted((SQL / name).glob("*.sql"))]
    return [*files, GRANTS] if GRANTS.exists() else files


def run_file(path: Path) -> None:
    """Runs a file of SQL in a revision, or writes it out where only the text is asked for.

    Past SQLAlchemy, whose text() would take `:name` for a parameter.
    """
    context = op.get_context()
    if context.as_sql:
        context.impl.static_output(path.read_text())
        return
    connection: Connection[object] = op.get_bind().connection.driver_connection  # type: ignore[assignment]
    connection.execute(path.read_bytes())

"""Where the SQL lies, in which order it is applied, and how a whole file is run inside a revision."""

from __future__ import annotations

from pathlib import Path

from psycopg import Connection

SQL = Path(__file__).resolve().parent.parent / "sql"

# Tables and types, each file once, by the revision that names it; but the first needs rights that the owner
# of the rest has not.
STATE = SQL / "state"
VERSIONS = Path(__file__).parent / "versions"
ROLES_AND_SCHEMAS = STATE / "01_roles_and_schemas.sql"
OWNER_CHANGE = Path(__file__).parent / "owner_change.sql"

# Re-runnable, in this order. A view may call any function and a grant may name anything.
REPEATABLE_DIRECTORIES = (
    "common",
    "cron",
    "jobs",
    "tick",
    "enqueue",
    "claim",
    "finish",
    "upkeep",
    "views",
    "api",
)
GRANTS = SQL / "grants.sql"

VERSION_TABLE_SCHEMA = "scheduler_internal"


def repeatable_files() -> list[Path]:
    """Returns the re-runnable files in the order in which they are applied, grants last."""
    files = [path for name in REPEATABLE_DIRECTORIES for path in sorted((SQL / name).glob("*.sql"))]
    return [*files, GRANTS] if GRANTS.exists() else files


def run_file(path: Path) -> None:
    """Runs a file of SQL in a revision, or writes it out where only the text is asked for.

    Past SQLAlchemy, whose text() would take `:name` for a parameter.
    """
    from alembic import op  # here: the API asks which files there are, and has no use for Alembic

    context = op.get_context()
    if context.as_sql:
        context.impl.static_output(path.read_text())
        return
    connection: Connection[object] = op.get_bind().connection.driver_connection  # type: ignore[assignment]
    connection.execute(path.read_bytes())

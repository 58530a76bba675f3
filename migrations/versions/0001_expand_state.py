"""The schemas' types and tables."""

from __future__ import annotations

from migrations.files import STATE, run_file

revision = "0001"
down_revision = None

FILES = ("02_types", "03_reference_tables", "04_jobs", "05_executions", "06_history")


def upgrade() -> None:
    """Creates them; the roles and schemas are there already."""
    for name in FILES:
        run_file(STATE / f"{name}.sql")

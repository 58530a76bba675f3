"""Indexes of what is rare: ends that are no success, and executions whose job allows one at a time."""

from __future__ import annotations

from migrations.files import STATE, run_file

revision = "0004"
down_revision = "0003"

LOCKS = {"running": "share", "history": "share"}


def upgrade() -> None:
    """Does what the file says."""
    run_file(STATE / "13_rare_rows.sql")

"""A type for what claims take from a job's version."""

from __future__ import annotations

from migrations.files import STATE, run_file

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Does what the file says."""
    run_file(STATE / "14_claimed_version.sql")

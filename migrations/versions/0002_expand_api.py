"""What the REST API keeps: keys, answers for repeated requests, and two columns of the audit log."""

from __future__ import annotations

from migrations.files import STATE, run_file

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Creates what sql/state/07_api.sql says."""
    run_file(STATE / "07_api.sql")

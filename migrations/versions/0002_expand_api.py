"""What the REST API keeps: keys, answers, columns of the audit log, marks, totals. Cancels, old versions."""

from __future__ import annotations

from migrations.files import STATE, run_file

revision = "0002"
down_revision = "0001"

LOCKS = {
    "job_names": "share",
    "job_versions": "access exclusive",
    "running": "access exclusive",
    "history": "share",
    "audit_log": "access exclusive",
}


def upgrade() -> None:
    """Creates what the files say."""
    run_file(STATE / "07_api.sql")
    run_file(STATE / "08_status.sql")
    run_file(STATE / "09_cancel_requests.sql")
    run_file(STATE / "10_old_versions.sql")

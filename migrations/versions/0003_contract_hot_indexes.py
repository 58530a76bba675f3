"""Claims and reaps stay fast while dead rows cannot be removed; smaller keys, that no plan can misuse."""

from __future__ import annotations

from migrations.files import STATE, run_file

revision = "0003"
down_revision = "0002"

LOCKS = dict.fromkeys(
    ("jobs", "job_versions", "schedules", "dedup_keys", "waiting", "running", "workers"), "access exclusive"
)


def upgrade() -> None:
    """Does what the files say."""
    run_file(STATE / "11_claim_bounds.sql")
    run_file(STATE / "12_keys_without_shard.sql")

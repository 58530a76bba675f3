"""The schemas' types and tables."""

from __future__ import annotations

from migrations.files import run_file, state_files

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Creates everything under sql/state/."""
    for path in state_files():
        run_file(path)

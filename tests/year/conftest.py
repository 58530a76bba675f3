"""The engine of tests/sql, on the clock of the year."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import Connection

from tests.sql.engine import Engine
from tests.support.clock import Clock


@pytest.fixture
def engine(db: Connection[Any], clock: Clock) -> Engine:
    """A fresh database."""
    return Engine(db, clock)

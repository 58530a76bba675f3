"""The functions of the schema scheduler, on a stopped clock."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import Connection

from tests.sql.engine import Engine
from tests.support.clock import Clock


@pytest.fixture
def engine(db: Connection[Any], clock: Clock) -> Engine:
    """A fresh database at 2031-03-05 12:00 UTC, a Wednesday."""
    return Engine(db, clock)

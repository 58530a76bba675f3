"""Fixtures of the tests about rights."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from psycopg import Connection, errors

from tests.roles.allowed import STRANGER


@pytest.fixture
def stranger(db: Connection[Any]) -> str:
    """A login role without any of our roles. Roles are the server's: another test may make it too."""
    with suppress(errors.DuplicateObject, errors.UniqueViolation):
        db.execute(f"create role {STRANGER} login")
    return STRANGER

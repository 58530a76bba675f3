"""Whether the database is migrated to what this version of pgtick needs."""

from __future__ import annotations

import asyncio
import re
from importlib.metadata import version
from typing import Literal

import msgspec
import psycopg
import structlog

from app.api.database import Database
from app.api.once import Once
from app.api.queries import Read
from app.api.replicas import FAILURES
from migrations.repeatable import schema_digest

State = Literal["current", "newer", "old", "unknown"]

CALL_SECONDS = 1.0
VERSION = Read("schema_version", returns_row=True)
# No such function, table or schema.
REFUSALS = ("42", "3F")
OLD = "the database is not migrated to what this version needs: run `pgtick migrate`"
NO_ROLE = "grant scheduler_client and scheduler_reader to the login of DB_WRITE_CONNECTION_STRING"

_log = structlog.get_logger("schema")


class _Row(msgspec.Struct):
    digest: str
    releases: list[str]


class Schema:
    """What is known of the database's schema.

    Once fit, it stays so: what differs later is newer, and a newer one still serves us, because migrations
    expand first and take away a release later. For the same reason a schema that a newer release applied is
    fit for a process that is started only now, as when a deployment is rolled back.
    """

    def __init__(self, database: Database) -> None:
        """Reads what we need; the database is asked later."""
        self._database = database
        self._wanted = schema_digest()
        self._look = Once(self._ask, seconds=1.0)
        self.state: State = "unknown"
        self._told = ""

    @property
    def is_fit(self) -> bool:
        """Whether this version can work with it, as far as is known."""
        return self.state in ("current", "newer")

    async def check(self) -> bool:
        """Tells whether this version can work with it; while it cannot, looks again once a second."""
        return self.is_fit or await self._look.get()

    async def _ask(self) -> bool:
        fault = ""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                text, _ = await self._database.router.read_newest(VERSION.text(), {})
        except (*FAILURES, TimeoutError):
            return False  # nothing new is known
        except psycopg.errors.InsufficientPrivilege as error:  # rights come with the same migration
            self.state = "unknown"
            fault = f"{error.diag.message_primary}: {NO_ROLE}"
        except psycopg.Error as error:
            self.state = "old" if (error.sqlstate or "")[:2] in REFUSALS else "unknown"
        else:
            self.state = self._judge(msgspec.json.decode(text or "", type=_Row))
        if self.state == "old":
            fault = OLD
        if fault and fault != self._told:
            _log.error(fault)
        self._told = fault
        return self.is_fit

    def _judge(self, row: _Row) -> State:
        if row.digest == self._wanted:
            return "current"
        return "newer" if any(_parts(r) > _parts(version("pgtick")) for r in row.releases) else "old"


def _parts(release: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", release)))

"""PgBouncer's admin console: whether it answers, and how its pools stand."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import psycopg
from psycopg import AsyncClientCursor
from psycopg.rows import dict_row

from app.api.pools import Connection

CALL_SECONDS = 1.0
CONNECT_SECONDS = 3

Row = dict[str, Any]


class PgBouncer:
    """One connection to the console, made when it is needed; the console itself is never among its pools."""

    def __init__(self, conninfo: str) -> None:
        """Takes PGTICK_PGBOUNCER_ADMIN."""
        self._conninfo = conninfo
        self._conn: Connection | None = None
        self._lock = asyncio.Lock()

    async def ping(self) -> float | None:
        """Returns how many seconds it took to answer; None if it does not."""
        began = time.monotonic()
        return time.monotonic() - began if await self.show("version") is not None else None

    async def show(self, what: str) -> list[Row] | None:
        """Returns the rows of a SHOW command; None if there is no answer in time."""
        try:
            async with asyncio.timeout(CALL_SECONDS), self._lock:
                return await self._show(what)
        except (psycopg.Error, OSError, TimeoutError):
            return None

    async def close(self) -> None:
        """Lets go of the connection."""
        conn, self._conn = self._conn, None
        if conn is not None:
            await conn.close()

    async def _show(self, what: str) -> list[Row]:
        try:
            if self._conn is None or self._conn.closed:
                self._conn = await self._connect()
            cursor = await self._conn.execute(f"show {what}".encode())
            return await cursor.fetchall()
        except BaseException:
            await self.close()  # also after a cancelled call: its answer may still be on the way
            raise

    async def _connect(self) -> Connection:
        # The console speaks the simple protocol only, and knows no transactions.
        return await Connection.connect(
            self._conninfo,
            autocommit=True,
            prepare_threshold=None,
            cursor_factory=AsyncClientCursor,
            row_factory=dict_row,
            connect_timeout=CONNECT_SECONDS,
        )

"""The listener, where its connection breaks."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection, Connection

from tests.conftest import Database
from workers.listener import Listener
from workers.looper import Outage


async def test_a_broken_connection_leaves_no_reader_behind(
    database: Database, db: Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what is given the number of its socket next, such as a child's, cannot be waited for."""
    loop = asyncio.get_running_loop()
    readers = set()

    def add(descriptor: int, *what: Any) -> None:
        readers.add(descriptor)
        add_reader(descriptor, *what)

    def remove(descriptor: int) -> bool:
        readers.discard(descriptor)
        return remove_reader(descriptor)

    add_reader, remove_reader = loop.add_reader, loop.remove_reader
    conn = await AsyncConnection.connect(database.dsn(direct=True), autocommit=True)
    monkeypatch.setattr(loop, "add_reader", add)
    monkeypatch.setattr(loop, "remove_reader", remove)
    listener = Listener("", Outage(), node_id="x", hear=lambda _: None)
    async with conn, asyncio.timeout(20):
        hearing = asyncio.create_task(listener._hear_all(conn.pgconn))
        db.execute("select pg_terminate_backend(%s)", (conn.info.backend_pid,))
        with pytest.raises(psycopg.OperationalError, match="consuming input failed"):
            await hearing
    assert readers == set()

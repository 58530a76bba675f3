"""Two sessions that meet, in an order that the test decides: one holds, the other waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, LiteralString

from psycopg import Connection

Db = Connection[Any]
PATIENCE_SECONDS = 20.0


def value(conn: Db, query: LiteralString, *arguments: Any) -> Any:
    """Returns the first column of the only row."""
    rows = conn.execute(query, arguments or None).fetchall()
    assert len(rows) == 1, rows
    return rows[0][0]


def rows(conn: Db, query: LiteralString, *arguments: Any) -> list[tuple[Any, ...]]:
    """Returns all rows."""
    return conn.execute(query, arguments or None).fetchall()


@contextmanager
def meeting(watcher: Db, conn: Db, call: Callable[[Db], Any]) -> Iterator[Future[Any]]:
    """Makes a call in a thread; the block runs once that waits for another session, or is done."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(call, conn)
        try:
            wait_until(
                lambda: (
                    future.done()
                    or value(watcher, "select pg_blocking_pids(%s) <> '{}'", conn.info.backend_pid)
                )
            )
            yield future
        except BaseException:
            conn.cancel_safe()  # else a test that has failed would wait for it for ever
            raise


@contextmanager
def waiting(watcher: Db, conn: Db, call: Callable[[Db], Any]) -> Iterator[Future[Any]]:
    """The same for a call that has to wait."""
    with meeting(watcher, conn, call) as future:
        assert not future.done(), f"it did not wait, but returned {future.result()!r}"
        yield future


def wait_until(is_so: Callable[[], bool]) -> None:
    """Asks until it is so."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < give_up_at, "it never came to that"
        time.sleep(0.01)

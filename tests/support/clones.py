"""Databases for one test each, made and dropped while others run."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, Self

import psycopg

from tests.support.server import TEMPLATE, Server, create_database, drop_database


class Clones:
    """Clones of a server's template.

    The next is made while a test runs, and the last one dropped: to make it takes 60 ms, and to drop one to
    which somebody was connected 120, in most of which the server waits.
    """

    def __init__(self, server: Server, *, at_work: Callable[[], AbstractContextManager[None]]) -> None:
        """Begins with the first; within `at_work()`, which may wait."""
        self._server = server
        self._at_work = at_work
        self._is_prepared = False
        self._conn: psycopg.Connection[Any] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="clones")
        self._drops: list[Future[None]] = []
        self._next = self._thread.submit(self._clone)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Drops what is left."""
        if self._next.exception() is None:
            self.give_back(self._next.result())
        self._thread.shutdown()
        self._tell_of_drops()
        if self._conn is not None:
            self._conn.close()

    def take(self) -> str:
        """Returns the name of one that nobody else has."""
        ready, self._next = self._next, self._thread.submit(self._clone)
        return ready.result()

    def give_back(self, name: str) -> None:
        """Has one dropped, whoever is still connected; raises what went wrong with those before."""
        self._tell_of_drops()
        self._drops.append(self._thread.submit(self._drop, name))

    def _tell_of_drops(self) -> None:
        ended = [drop for drop in self._drops if drop.done()]
        self._drops = [drop for drop in self._drops if not drop.done()]
        for drop in ended:
            drop.result()

    def _clone(self) -> str:
        with self._at_work():
            if not self._is_prepared:
                self._server.prepare_template()
                self._is_prepared = True
            return create_database(self._connection(), template=TEMPLATE)

    def _drop(self, name: str) -> None:
        with self._at_work():
            drop_database(self._connection(), name)

    def _connection(self) -> psycopg.Connection[Any]:
        if self._conn is None or self._conn.closed:
            self._conn = self._server.connect()
        return self._conn

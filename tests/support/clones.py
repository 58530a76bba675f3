"""Databases for one test each, made and dropped while others run."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from tests.support.server import TEMPLATE, Server, create_database, drop_database


class Clones:
    """Clones of a server's template.

    The next is made while a test runs, and the last one dropped: to make it takes 60 ms, and to drop one to
    which somebody was connected 120, in most of which the server waits.
    """

    def __init__(self, server: Server) -> None:
        """Begins with the first."""
        self._server = server
        self._is_prepared = False
        self._conn = server.connect()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="clones")
        self._next = self._make()
        self._drops: list[Future[None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Drops what is left; raises what went wrong with a drop."""
        if self._next.exception() is None:
            self.give_back(self._next.result())
        self._thread.shutdown()
        self._conn.close()
        for drop in self._drops:
            drop.result()

    def take(self) -> str:
        """Returns the name of one that nobody else has."""
        ready, self._next = self._next, self._make()
        return ready.result()

    def give_back(self, name: str) -> None:
        """Has one dropped, whoever is still connected."""
        self._drops.append(self._thread.submit(drop_database, self._conn, name))

    def _make(self) -> Future[str]:
        return self._thread.submit(self._clone)

    def _clone(self) -> str:
        if not self._is_prepared:
            self._server.prepare_template()
            self._is_prepared = True
        return create_database(self._conn, template=TEMPLATE)

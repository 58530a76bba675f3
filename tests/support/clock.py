"""The database's clock in the hands of a test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from psycopg import Connection, sql

from tests.support.pooler import Pooler


class Clock:
    """Sets scheduler.fake_now: for one connection, or for the whole database.

    Through a pooler a connection of one's own does not exist, so that there it is always the whole database.
    """

    def __init__(self, db: Connection, dbname: str, pooler: Pooler | None) -> None:
        """Takes the connection whose clock is set when none is named."""
        self._db = db
        self._dbname = dbname
        self._pooler = pooler
        self._now: datetime | None = None

    @property
    def now(self) -> datetime:
        """The time that was set last."""
        if self._now is None:
            raise AssertionError("the clock has not been set")
        return self._now

    def set(self, at: datetime | str, *, conn: Connection | None = None, everywhere: bool = False) -> None:
        """Stops the clock at a time; `everywhere` covers connections that are made later too."""
        self._now = datetime.fromisoformat(at) if isinstance(at, str) else at
        if self._now.tzinfo is None:
            self._now = self._now.replace(tzinfo=UTC)
        value = self._now.isoformat()
        if everywhere or self._pooler is not None:
            statement = "alter database {} set scheduler.fake_now = {}"
            self._db.execute(sql.SQL(statement).format(sql.Identifier(self._dbname), sql.Literal(value)))
        if self._pooler is not None:
            self._pooler.reconnect(self._dbname)
        else:
            (conn or self._db).execute("select set_config('scheduler.fake_now', %s, false)", [value])

    def advance(
        self,
        by: timedelta | None = None,
        *,
        conn: Connection | None = None,
        everywhere: bool = False,
        **parts: float,
    ) -> datetime:
        """Moves a clock that was set, by a timedelta or by its parts, and returns the new time."""
        self.set(self.now + (by or timedelta(**parts)), conn=conn, everywhere=everywhere)
        return self.now

    def release(self) -> None:
        """Lets the real time flow again."""
        self._now = None
        self._db.execute(
            sql.SQL("alter database {} reset scheduler.fake_now").format(sql.Identifier(self._dbname))
        )
        if self._pooler is not None:
            self._pooler.reconnect(self._dbname)
        else:
            self._db.execute("select set_config('scheduler.fake_now', '', false)")

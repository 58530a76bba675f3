"""The listener: hears at once of what is ready, where the database tells it (the setting scheduler.notify).

On a connection past PgBouncer, because LISTEN is bound to a session. Nothing rests on it: the claimer asks
anyway, and a lost notification costs one pause of its polling.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from psycopg.pq.abc import PGconn

from workers import queries
from workers.database import connect
from workers.looper import Looper, Outage

SILENT_SECONDS = 60.0
"""Where the database does not tell: how long until it is asked again whether it does."""

SHARDS = {b"%d" % shard: shard for shard in range(16)}


class Listener(Looper):
    """Tells the claimer of every notification."""

    name = "listener"

    def __init__(
        self, conninfo: str, outage: Outage, *, node_id: str, hear: Callable[[int | None], None]
    ) -> None:
        super().__init__(outage)
        self._conninfo = conninfo
        self._application_name = f"pgtick listener {node_id}"
        self._hear = hear

    async def turn(self) -> float:
        """Listen until the connection breaks; the worker ends it by cancelling."""
        conn = await connect(self._conninfo, application_name=self._application_name)
        async with conn:
            if not await queries.listen(conn):
                return SILENT_SECONDS
            self._outage.ends(self.name)
            self._hear(None)  # of what came before nobody tells
            await self._hear_all(conn.pgconn)
        return 0.0

    async def _hear_all(self, pgconn: PGconn) -> None:
        """Hear of every notification until the connection breaks, which raises.

        As libpq has it: by psycopg's iterator it is 0.4 ms from the socket to here, a tenth of a start.
        """
        loop = asyncio.get_running_loop()
        broken = loop.create_future()

        def read() -> None:
            try:
                pgconn.consume_input()
                while (notification := pgconn.notifies()) is not None:
                    # Anybody may notify, of anything.
                    self._hear(SHARDS.get(notification.extra))
            except Exception as error:
                if not broken.done():
                    broken.set_exception(error)

        # One of our own: libpq closes its at the break, and what gets that number next would not work.
        descriptor = os.dup(pgconn.socket)
        loop.add_reader(descriptor, read)
        try:
            await broken
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)

"""The listener: hears at once of what is ready, where the database tells it (the setting scheduler.notify).

On a connection past PgBouncer, because LISTEN is bound to a session. Nothing rests on it: the claimer asks
anyway, and a lost notification costs one pause of its polling.
"""

from __future__ import annotations

from collections.abc import Callable

from workers import queries
from workers.database import connect
from workers.looper import Looper, Outage

SILENT_SECONDS = 60.0
"""Where the database does not tell: how long until it is asked again whether it does."""


class Listener(Looper):
    """Wakes the claimer with every notification."""

    name = "listener"

    def __init__(self, conninfo: str, outage: Outage, *, node_id: str, wake: Callable[[], None]) -> None:
        super().__init__(outage)
        self._conninfo = conninfo
        self._application_name = f"pgtick listener {node_id}"
        self._wake_claimer = wake

    async def turn(self) -> float:
        """Listen until the connection breaks; the worker ends it by cancelling."""
        conn = await connect(self._conninfo, application_name=self._application_name)
        async with conn:
            if not await queries.listen(conn):
                return SILENT_SECONDS
            self._outage.ends(self.name)
            self._wake_claimer()  # of what came before nobody tells
            async for _ in conn.notifies():
                self._wake_claimer()
        return 0.0

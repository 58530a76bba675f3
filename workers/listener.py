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

SHARDS = frozenset(str(shard) for shard in range(16))


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
            async for notification in conn.notifies():
                # Anybody may notify, of anything.
                self._hear(int(notification.payload) if notification.payload in SHARDS else None)
        return 0.0

"""Names of hosts into addresses, apart from the event loop's own look-ups, which are the database's."""

from __future__ import annotations

import asyncio
import socket

from aiohttp.abc import AbstractResolver, ResolveResult

from workers.threads import call_in_thread

LOOKUPS = 32
"""So many names at a time: one whose servers are dead takes its thread for 10 s and more, whatever the run's
timeout. The loop has fewer threads (uvloop two for names), and psycopg's look-ups must not queue there.
"""

_NUMERIC = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV


class Resolver(AbstractResolver):
    """Asks the system, in threads of its own."""

    def __init__(self) -> None:
        self._threads = asyncio.Semaphore(LOOKUPS)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Look a name up; raises socket.gaierror where there is none."""
        await self._threads.acquire()
        ended = call_in_thread(lambda: _look_up(host, port, family), name=f"look up {host}")
        # A run that is given up does not end the thread.
        ended.add_done_callback(lambda _: self._threads.release())
        return await asyncio.shield(ended)

    async def close(self) -> None:
        """Nothing to let go of: a thread ends with its look-up, or with the process."""


def _look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    answers = []
    for info in socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG):
        family, _, protocol, _, address = info
        # Numeric: nobody is asked. With the interface of an address that is valid on one link only.
        number, service = socket.getnameinfo(address, _NUMERIC)
        answers.append(
            ResolveResult(
                hostname=host,
                host=number,
                port=int(service),
                family=family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
        )
    return answers

"""Procrastinate with concurrency 10 on uvloop: it claims one job at a time, so that is all there is to turn.

Its pool has a connection for each job that ends meanwhile. Jobs stay in the table (delete_jobs is "never").
"""
# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import asyncio
import logging
from typing import Any

import uvloop
from procrastinate import App, PsycopgConnector

from loadtest.rivals.programs.protocol import Payload, Program, noop, run

CONCURRENCY = 10


class ProcrastinateProgram(Program):
    """Its documented use: the async connector, LISTEN."""

    def __init__(self) -> None:
        connector = PsycopgConnector(conninfo=self.database, min_size=1, max_size=CONCURRENCY + 2)
        self._app = App(connector=connector)
        self._task = self._app.task(name="noop", queue="default")(_noop)

    async def install(self) -> None:
        """Make the tables."""
        await self.connect()
        await self._app.schema_manager.apply_schema_async()

    async def connect(self) -> None:
        """Open the pool."""
        await self._app.open_async()

    async def enqueue(self, payloads: list[Payload]) -> None:
        """Defer in bulk."""
        await self._task.batch_defer_async(*payloads)

    async def enqueue_one(self, payload: Payload) -> None:
        """Defer one."""
        await self._task.defer_async(**payload)

    async def work(self, stop: asyncio.Event) -> None:
        """Run its worker."""
        await self.connect()
        working = asyncio.create_task(
            self._app.run_worker_async(concurrency=CONCURRENCY, install_signal_handlers=False)
        )
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def _noop(**payload: Any) -> None:
    noop(payload)


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    uvloop.run(run(ProcrastinateProgram()))

"""PgQueuer with batches of 1,000, which is the option that makes it fast: claims and log entries go by batch.

A pool, so that a batch of endings is written while the next one is claimed. It deletes a job that has ended
and keeps a row of its log for each step.
"""
# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import timedelta
from typing import Any

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.ports.repository import EntrypointExecutionParameter
from pgqueuer.queries import Queries

from loadtest.rivals.programs.protocol import Payload, Program, noop, run


class PgQueuerProgram(Program):
    """Its documented use: asyncpg, uvloop, LISTEN."""

    _id = uuid.uuid4()

    async def install(self) -> None:
        """Make the tables; all of them logged, as is its default."""
        await self.connect()
        await self._queries.install()

    async def connect(self) -> None:
        """Open a connection."""
        self._queries = Queries(AsyncpgDriver(await asyncpg.connect(self.database)))

    async def enqueue(self, payloads: list[Payload]) -> None:
        """Enqueue with lists."""
        count = len(payloads)
        await self._queries.enqueue(["noop"] * count, [_encode(p) for p in payloads], [0] * count)

    async def enqueue_one(self, payload: Payload) -> None:
        """Enqueue one."""
        await self._queries.enqueue("noop", _encode(payload))

    async def cycle(self, payloads: list[Payload]) -> int:
        """Do what its queue manager does, without the tasks between."""
        await self.enqueue(payloads)
        jobs = await self._queries.dequeue(
            batch_size=len(payloads),
            entrypoints={"noop": EntrypointExecutionParameter(concurrency_limit=0)},
            queue_manager_id=self._id,
            global_concurrency_limit=None,
            heartbeat_timeout=timedelta(seconds=30),
        )
        await self._queries.log_jobs([(job, "successful", None) for job in jobs])
        return len(jobs)

    async def work(self, stop: asyncio.Event) -> None:
        """Run the queue manager; without a limit per entrypoint the claim is a plain one."""
        async with asyncpg.create_pool(self.database, min_size=2) as pool:
            manager = PgQueuer(AsyncpgPoolDriver(pool))
            manager.entrypoint("noop")(_noop)
            running = asyncio.create_task(manager.run(batch_size=1000))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
            manager.shutdown.set()
            await running


async def _noop(job: Any) -> None:
    noop(json.loads(job.payload))


def _encode(payload: Payload) -> bytes:
    return json.dumps(payload).encode()


if __name__ == "__main__":
    uvloop.run(run(PgQueuerProgram()))

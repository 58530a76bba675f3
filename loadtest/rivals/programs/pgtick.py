"""pgtick: the worker that users run, with room for 1,000 at a time, as the rivals take in a batch.

--concurrency makes it fast: a claim asks for as many as the worker has room for.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

import msgspec
from psycopg import sql

from loadtest.bench_throughput import ITEM
from loadtest.rivals.programs.protocol import Payload, Program, run
from loadtest.server import connect
from migrations.runner import migrate

CONCURRENCY = 1000


class PgtickProgram(Program):
    """Its documented use: enqueue_many() for batches, enqueue() for one."""

    async def install(self) -> None:
        """Migrate, which changes nothing where it is done; workers hear of new jobs, as the rivals' do."""
        migrate(self.database)
        with connect(self.database) as conn:
            name = sql.Identifier(conn.info.dbname)
            conn.execute(sql.SQL("alter database {} set scheduler.notify = on").format(name))

    async def connect(self) -> None:
        """Open a connection."""
        self._conn = connect(self.database)

    async def enqueue(self, payloads: list[Payload]) -> None:
        """Enqueue a batch in one call."""
        items = msgspec.json.encode([ITEM | {"payload": payload} for payload in payloads])
        self._conn.execute("select scheduler.enqueue_many(%s)", [items.decode()])

    async def enqueue_one(self, payload: Payload) -> None:
        """Enqueue one."""
        self._conn.execute(
            "select scheduler.enqueue(job_type => %s, target => %s, payload => %s)",
            [ITEM["job_type"], json.dumps(ITEM["target"]), json.dumps(payload)],
        )

    async def work(self, stop: asyncio.Event) -> None:
        """Become a worker."""
        del stop
        environ = os.environ | {
            "DB_WRITE_CONNECTION_STRING": self.database,
            "DB_DIRECT_CONNECTION_STRING": self.database,
            "PGTICK_LOG_FORMAT": "json",
            "PGTICK_LOG_LEVEL": "warning",  # nobody here writes a line for each job
        }
        command = [sys.executable, "-m", "workers", "worker", "--concurrency", str(CONCURRENCY)]
        command += ["--handlers", "loadtest.rivals.programs.handlers"]
        os.execve(sys.executable, command, environ)  # noqa: S606 - it takes this one's place


if __name__ == "__main__":
    asyncio.run(run(PgtickProgram()))

"""pgtick without its worker: what a worker's SQL costs alone, claims and finishes of 1,000 in turn."""

from __future__ import annotations

import asyncio

from loadtest.bench_throughput import claim_batch, finish_batch, register
from loadtest.rivals.programs.pgtick import PgtickProgram
from loadtest.rivals.programs.protocol import run
from loadtest.server import connect

BATCH = 1000
PAUSE_SECONDS = 0.01


class FunctionsProgram(PgtickProgram):
    """One connection, nothing prepared, no job is run."""

    async def work(self, stop: asyncio.Event) -> None:
        """Claim and finish."""
        with connect(self.database) as conn:
            worker_id = register(conn)
            while not stop.is_set():
                claimed = claim_batch(conn, worker_id, BATCH)
                if claimed:
                    finish_batch(conn, worker_id, claimed)
                await asyncio.sleep(0 if claimed else PAUSE_SECONDS)


if __name__ == "__main__":
    asyncio.run(run(FunctionsProgram()))

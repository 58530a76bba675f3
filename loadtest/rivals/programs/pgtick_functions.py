"""pgtick without its worker: what a worker's SQL costs alone, claims and finishes of 1,000 in turn."""

from __future__ import annotations

import asyncio

from loadtest.bench_throughput import claim_batch, finish_batch, register
from loadtest.rivals.programs.pgtick import PgtickProgram
from loadtest.rivals.programs.protocol import Payload, run

BATCH = 1000
PAUSE_SECONDS = 0.01


class FunctionsProgram(PgtickProgram):
    """One connection, nothing prepared, no job is run."""

    async def connect(self) -> None:
        """Open a connection and announce a worker."""
        await super().connect()
        self._worker_id = register(self._conn)

    async def cycle(self, payloads: list[Payload]) -> int:
        """Do what a worker does, without the jobs between."""
        await self.enqueue(payloads)
        claimed = claim_batch(self._conn, self._worker_id, len(payloads))
        if claimed:
            finish_batch(self._conn, self._worker_id, claimed)
        return len(claimed)

    async def work(self, stop: asyncio.Event) -> None:
        """Claim and finish."""
        await self.connect()
        while not stop.is_set():
            claimed = claim_batch(self._conn, self._worker_id, BATCH)
            if claimed:
                finish_batch(self._conn, self._worker_id, claimed)
            await asyncio.sleep(0 if claimed else PAUSE_SECONDS)


if __name__ == "__main__":
    asyncio.run(run(FunctionsProgram()))

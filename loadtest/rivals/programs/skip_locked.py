"""The queue that everyone writes first: one table, a claim sets its state, an end moves the row to a history.

Three prepared statements and no promise beyond them: no lease, no fence, no retry. It stands for what the
database gives, and for how that fades.
"""

from __future__ import annotations

import asyncio
import json

import psycopg

from loadtest.rivals.programs.protocol import Payload, Program, run

_TABLES = b"""
create table queue (
    id bigint generated always as identity primary key, priority integer not null default 0,
    run_at timestamptz not null default now(), state text not null default 'ready', attempt integer default 0,
    started_at timestamptz, payload jsonb
);
create index on queue (priority, run_at, id) where state = 'ready';
create table history (
    id bigint primary key, priority integer, run_at timestamptz, state text, attempt integer,
    started_at timestamptz, finished_at timestamptz, payload jsonb
);
"""
_ENQUEUE = "insert into queue (payload) select p from jsonb_array_elements(%s::jsonb) p"
_CLAIM = """
update queue set state = 'running', attempt = attempt + 1, started_at = now()
where id = any (array(
    select id from queue where state = 'ready' and run_at <= now()
    order by priority, run_at, id limit %s for update skip locked))
returning id, payload
"""
_FINISH = """
with gone as (delete from queue where id = any (%s) returning *)
insert into history select id, priority, run_at, 'done', attempt, started_at, now(), payload from gone
"""


class SkipLockedProgram(Program):
    """The loop alone: it has no worker."""

    async def install(self) -> None:
        """Make the tables."""
        await self.connect()
        self._conn.execute(_TABLES)

    async def connect(self) -> None:
        """Open a connection."""
        self._conn = psycopg.connect(self.database, autocommit=True)

    async def enqueue(self, payloads: list[Payload]) -> None:
        """Enqueue a batch."""
        self._conn.execute(_ENQUEUE, [json.dumps(payloads)], prepare=True)

    async def enqueue_one(self, payload: Payload) -> None:
        """Enqueue one."""
        await self.enqueue([payload])

    async def cycle(self, payloads: list[Payload]) -> int:
        """Enqueue, claim, finish."""
        await self.enqueue(payloads)
        ids = [row[0] for row in self._conn.execute(_CLAIM, [len(payloads)], prepare=True)]
        self._conn.execute(_FINISH, [ids], prepare=True)
        return len(ids)

    async def work(self, stop: asyncio.Event) -> None:
        """Say that there is no worker."""
        raise NotImplementedError


if __name__ == "__main__":
    asyncio.run(run(SkipLockedProgram()))

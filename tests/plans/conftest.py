"""A database with five days of history: what plans look like on an empty one says nothing.

Five whole days: of today's few rows the plans would depend on the hour.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from tests.support.server import Server

DAYS = 5
SHARD = 3
"""In which there is something of everything."""
HISTORY = 100_000
WAITING = 40_000

LOAD = f"""
    do $$
    begin
        loop
            perform scheduler.create_job(
                'job ' || i, 'sql', '"select 1"', '*/5 * * * *', starts_at => now() + '1 hour')
            from generate_series(1, 64) i;
            exit when exists (select from scheduler_internal.jobs where shard = {SHARD});
            perform scheduler.delete_job(job_id) from scheduler_internal.jobs;
        end loop;
    end;
    $$;

    select scheduler_internal.ensure_partition('history', (now() at time zone 'UTC')::date - i),
        scheduler_internal.ensure_partition('skipped_fires', (now() at time zone 'UTC')::date - i)
    from generate_series(1, {DAYS}) i;

    insert into scheduler_internal.history
        (execution_id, shard, attempt, run_at, created_at, started_at, finished_at, fire_at, job_id,
         worker_id, job_version, rank, origin, final, status, queue, job_type)
    select scheduler_internal.new_id(j.shard, t.at), j.shard, 1, t.at, t.at, t.at, t.at, t.at, j.job_id,
        gen_random_uuid(), 1, 0, 'f', true, 'succeeded', 'default', 'sql'
    from (select j.*, row_number() over () as n from scheduler_internal.jobs j) j
    join (select i, date_trunc('day', now(), 'UTC') - i * interval '{DAYS} days' / {HISTORY} as at
          from generate_series(1, {HISTORY}) i) t
        on t.i % 64 = j.n - 1;

    insert into scheduler_internal.waiting
        (shard, attempt, execution_id, run_at, created_at, attempt_base, rank, crashes, origin, exclusive,
         queue, job_type, target)
    select i % 16, 0, scheduler_internal.new_id(i % 16, t.at), t.at, now(), 0, 0, 0, 'e', false,
        (array['default', 'mail'])[i % 2 + 1], 'python', '{{"handler": "f"}}'
    from generate_series(1, {WAITING}) i
    cross join lateral (select now() + (i - {WAITING} / 2) * interval '1 second' as at) t;

    insert into scheduler_internal.skipped_fires
        (shard, job_id, job_version, from_fire_at, to_fire_at, verdict, decided_at)
    select j.shard, j.job_id, 1, t.at, t.at, 'skipped_overlap', t.at
    from scheduler_internal.jobs j
    cross join (select date_trunc('day', now(), 'UTC') - i * interval '{DAYS} days' / 200 as at
                from generate_series(1, 200) i) t;

    analyze;
"""


@pytest.fixture(scope="module")
def loaded_dsn(server: Server) -> Iterator[str]:
    """The connection string of a database with much in it, shared by the tests of a module."""
    name = server.clone_template()
    with psycopg.connect(server.conninfo(name), autocommit=True) as conn:
        conn.execute(LOAD.encode())
    yield server.conninfo(name)
    server.drop_database(name)


@pytest.fixture
def loaded(loaded_dsn: str) -> Iterator[Connection[Any]]:
    """A connection to it, in a transaction that is rolled back."""
    with psycopg.connect(loaded_dsn, prepare_threshold=None) as conn:
        yield conn
        conn.rollback()

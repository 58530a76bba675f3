"""Ended executions by the million, put straight into the table where they are kept."""

from __future__ import annotations

from typing import LiteralString

# Over the last seven days, a partition each, in the order of their ids. `$rows` is for the caller to fill in.
FILL: LiteralString = """
    select scheduler_internal.ensure_partition('history', current_date - d)
    from generate_series(0, 7) d;
    insert into scheduler_internal.history
        (execution_id, shard, attempt, run_at, created_at, started_at, finished_at, rank, origin,
         final, status, queue, job_type, target, payload, result)
    select scheduler_internal.new_id((n % 16)::integer, at), n % 16, 1, at, at, at, at, 0, 'e',
           true, 'succeeded', 'default', 'python', '{"handler": "noop"}', '{"order": 1234567}',
           '{"done": true}'
    from generate_series(1, $rows) n,
         lateral (select now() - interval '7 days' * (1 - n::float8 / $rows)) t(at)
"""

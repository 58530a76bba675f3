insert into waiting
    (shard, attempt, execution_id, run_at, created_at, attempt_base, rank, crashes, origin, exclusive,
     queue, job_type, handler, target, payload)
select 3, 0, scheduler_internal.new_id(3, now()), now(), now(), 0, 0, 0, 'e', false, 'default', 'python',
       'noop', '{"handler": "noop"}', jsonb_build_object('order', 1000000 + g)
from generate_series(1, %(size)s) g

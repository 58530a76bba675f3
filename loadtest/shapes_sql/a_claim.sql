with picked as materialized (
    select w.ctid as row_id
    from waiting w
    where w.shard = 3 and w.queue = 'default' and w.rank = 0 and w.run_at <= now() and w.worker_id is null
    order by w.run_at
    limit %(size)s
    for update skip locked
)
update waiting w
set attempt = attempt + 1, worker_id = %(worker_id)s, started_at = now(),
    deadline = now() + interval '1 hour'
where w.ctid = any (array(select p.row_id from picked p))
returning w.execution_id

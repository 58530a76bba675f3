create or replace function scheduler.worker_demand(
    per_worker integer default 10,
    min_workers integer default 2,
    max_workers integer default 20
)
returns integer
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
-- What is ready or running, divided by what a worker runs at a time. Counts no further than
-- max_workers need.
-- Raises: 22023 for bounds that do not fit.
declare
    v_now constant timestamptz := scheduler.now();
    v_work bigint;
begin
    if per_worker is null or per_worker < 1 or min_workers is null or min_workers < 0
       or max_workers is null or max_workers < min_workers then
        perform scheduler_internal.refuse('the bounds do not fit',
            format('per_worker is %s, min_workers %s, max_workers %s.', per_worker, min_workers,
            max_workers), 'Give per_worker >= 1 and 0 <= min_workers <= max_workers.');
    end if;
    select count(*) into v_work
    from (
        select from scheduler_internal.running r
        union all
        select from scheduler_internal.waiting w where w.run_at <= v_now
        limit per_worker::bigint * max_workers
    ) x;
    return greatest(min_workers, least(max_workers, ceil(v_work::numeric / per_worker)))::integer;
end;
$$;

comment on function scheduler.worker_demand(integer, integer, integer) is
    'How many workers the backlog needs, for an autoscaler: (ready + running) / per_worker, within '
    'the bounds';

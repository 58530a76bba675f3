create or replace function scheduler.health()
returns table (check_name text, status text, detail text, hint text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
-- What a person on call at night asks first. One row a check, worst first: fail (it does not work),
-- warn (it soon will not), ok.
declare
    v_now constant timestamptz := scheduler.now();
begin
    return query
    select c.check_name, c.status, c.detail, case when c.status = 'ok' then null else c.hint end
    from (
        select * from scheduler_internal.check_ticking(v_now)
        union all select * from scheduler_internal.check_schedules(v_now)
        union all select * from scheduler_internal.check_workers(v_now)
        union all select * from scheduler_internal.check_backlog(v_now)
        union all select * from scheduler_internal.check_partitions(v_now)
        union all select * from scheduler_internal.check_horizon(v_now)
    ) c(check_name, status, detail, hint)
    order by array_position('{fail,warn,ok}', c.status), c.check_name;
end;
$$;

comment on function scheduler.health() is
    'The state of the whole in a few rows, worst first: ticking, schedules, workers, backlog, '
    'partitions, and what holds back vacuum; with a hint what to do';

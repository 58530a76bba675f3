create or replace function scheduler_internal.ensure_history(execution_ids uuid[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- Before executions end: the partitions that they go to. They are nearly always there, made days
-- ahead by maintain(); then this is one look at the catalogue per day among the ids, which is today
-- for nearly all: to work out the day of each took a tenth of finish().
-- Writes: a partition, where one is missing (an execution was cancelled months before its start, or
-- no ticker has run for a week).
declare
    v_today constant date := (scheduler.now() at time zone 'UTC')::date;
    v_from constant uuid := scheduler_internal.id_floor(v_today::timestamp at time zone 'UTC');
    v_to constant uuid := scheduler_internal.id_floor((v_today + 1)::timestamp at time zone 'UTC');
    v_day date;
begin
    perform scheduler_internal.ensure_partition('history', v_today),
            scheduler_internal.ensure_partition('rollups', v_today);
    if v_from <= all (execution_ids) and v_to > all (execution_ids) then
        return;
    end if;
    for v_day in
        select distinct (scheduler_internal.id_time(i) at time zone 'UTC')::date
        from unnest(execution_ids) i
        where (i < v_from or i >= v_to)
          and i < scheduler_internal.id_floor('2200-01-01 00:00+00')  -- none of ours is beyond
    loop
        perform scheduler_internal.ensure_partition('history', v_day);
    end loop;
end;
$$;

comment on function scheduler_internal.ensure_history(uuid[]) is
    'Makes sure that ended executions have a partition to go to';

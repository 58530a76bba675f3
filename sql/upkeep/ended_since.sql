create or replace function scheduler_internal.ended_since(day date, since timestamptz)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
-- Whether something of this day of the history, where it was first to run, ended after a time: it
-- may have come to that weeks later. There is no index for that, so it reads the whole day; what it
-- finds is noted, and the day not read again before that time has come.
-- Locks: as check_unheld(). Writes: the mark of the day. Raises: 55P03 where it could not be
-- dropped.
declare
    v_name constant text := to_char(day, '"history_"YYYYMMDD');
    v_low constant uuid := scheduler_internal.id_floor(day::timestamp at time zone 'UTC');
    v_high constant uuid := scheduler_internal.id_floor((day + 1)::timestamp at time zone 'UTC');
    v_last timestamptz;
begin
    if exists (select from scheduler_internal.marks m where m.name = v_name and m.at > since) then
        return true;
    end if;
    perform scheduler_internal.check_unheld(day);
    select max(h.finished_at) into v_last from scheduler_internal.history h
    where h.execution_id >= v_low and h.execution_id < v_high;
    if v_last > since then
        insert into scheduler_internal.marks (name, at) values (v_name, v_last)
        on conflict (name) do update set at = excluded.at;
        return true;
    end if;
    delete from scheduler_internal.marks m where m.name = v_name;
    return false;
end;
$$;

comment on function scheduler_internal.ended_since(date, timestamptz) is
    'Whether an execution that belongs to the history of this day ended after a time';

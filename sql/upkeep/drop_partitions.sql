-- squawk-ignore ban-drop-function
drop function if exists scheduler_internal.drop_partitions(text, date);
-- squawk-ignore ban-drop-function
drop function if exists scheduler_internal.drop_partitions(text, timestamptz);

create or replace function scheduler_internal.drop_partitions(
    parent text,
    days date[],
    before timestamptz
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- Drops the partitions of these days; but one of history stays where an end was taken back since
-- the time that its retention reaches to: that ended later, or has yet to. Up to when history is
-- forgotten is noted, because the retention may be raised later.
-- Locks: the parent, exclusively, from the first drop to the commit; under it the mark forgotten.
-- The caller sets a lock_timeout, so that nobody queues behind it for long. Writes: the mark.
declare
    v_day date;
begin
    foreach v_day in array days loop
        begin
            if parent = 'history' then
                lock table only scheduler_internal.history in access exclusive mode;
                continue when exists (
                    select from scheduler_internal.retried r
                    where r.execution_id
                          >= scheduler_internal.id_floor(v_day::timestamp at time zone 'UTC')
                      and r.execution_id
                          < scheduler_internal.id_floor((v_day + 1)::timestamp at time zone 'UTC')
                      and r.retried_at > before);
            end if;
            -- Another maintain() may be at it.
            execute format('drop table if exists scheduler_internal.%I',
                           parent || to_char(v_day, '_YYYYMMDD'));
            if parent = 'history' then
                insert into scheduler_internal.marks as m (name, at)
                values ('forgotten', (v_day + 1)::timestamp at time zone 'UTC')
                on conflict (name) do update set at = greatest(m.at, excluded.at);
            end if;
        exception when lock_not_available then
            exit;  -- a long query reads it; the next call tries again
        end;
    end loop;
end;
$$;

comment on function scheduler_internal.drop_partitions(text, date[], timestamptz) is
    'Drops the partitions of days that expired_days() found';

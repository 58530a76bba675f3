-- squawk-ignore ban-drop-function
drop function if exists scheduler_internal.drop_partitions(text, date);

create or replace function scheduler_internal.drop_partitions(parent text, before timestamptz)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- Drops a partition of a day before that of a time: the oldest that may go, so that several days go
-- one call after another. One of history stays while an execution that has not ended is to go
-- there, or one lies there that ended after that time. Returns how many it dropped: at most one.
-- Locks: the parent, exclusively, from the drop to the commit: so who calls this does nothing more.
-- He sets a lock_timeout, so that nobody queues behind it for long.
declare
    v_partition record;
    v_day date;
begin
    for v_partition in
        -- Digits compare as their days do. No to_date(): the planner may ask it of every table in
        -- the database before it looks which of them are partitions.
        select c.relname, right(c.relname, 8) as day
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        where i.inhparent = to_regclass('scheduler_internal.' || quote_ident(parent))
          and right(c.relname, 8) < to_char(before at time zone 'UTC', 'YYYYMMDD') collate "C"
        order by 2
    loop
        v_day := to_date(v_partition.day, 'YYYYMMDD');
        begin
            -- In this order: what ends between the two questions is seen by the second.
            continue when parent = 'history' and (
                scheduler_internal.is_awaited(v_day)
                or scheduler_internal.ended_since(v_day, before));
            -- Another maintain() may be at it.
            execute format('drop table if exists scheduler_internal.%I', v_partition.relname);
            return 1;
        exception when lock_not_available then
            return 0;  -- a long query reads it; the next call tries again
        end;
    end loop;
    return 0;
end;
$$;

comment on function scheduler_internal.drop_partitions(text, timestamptz) is
    'Drops the oldest partition of the days before that of a time';

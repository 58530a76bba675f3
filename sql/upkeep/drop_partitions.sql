-- squawk-ignore ban-drop-function
drop function if exists scheduler_internal.drop_partitions(text, date);

create or replace function scheduler_internal.drop_partitions(parent text, before timestamptz)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- Drops the partitions of the days before that of a time; but one of history stays while an
-- execution that has not ended is to go there, or one lies there that ended after that time.
-- Returns how many it dropped.
-- Locks: the parent, exclusively, for as long as a drop takes. The caller sets a lock_timeout, so
-- that nobody queues behind it for long.
declare
    v_partition record;
    v_day date;
    v_count integer := 0;
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
        -- In this order: what ends between the two questions is seen by the second.
        continue when parent = 'history' and (
            scheduler_internal.is_awaited(v_day) or scheduler_internal.ended_since(v_day, before));
        begin
            -- Another maintain() may be at it.
            execute format('drop table if exists scheduler_internal.%I', v_partition.relname);
            v_count := v_count + 1;
        exception when lock_not_available then
            exit;  -- a long query reads it; the next call tries again
        end;
    end loop;
    return v_count;
end;
$$;

comment on function scheduler_internal.drop_partitions(text, timestamptz) is
    'Drops the partitions of the days before that of a time';

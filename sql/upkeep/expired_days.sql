create or replace function scheduler_internal.expired_days(parent text, before timestamptz)
returns date[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- The days before that of a time whose partitions may go; but one of history stays while an
-- execution that has not ended is to go there, or one lies there that ended after that time. It
-- may have to be read as a whole for that: so nothing that others wait for is locked meanwhile.
-- At most 30 days, and none after a minute, by the real clock: the next call has the rest. Of two
-- years, when the retention was lowered to 30 days, a drop of all at once took more locks than a
-- server has by default; and what a caller cuts off is undone as a whole, each time.
-- Locks, Writes: as ended_since().
declare
    v_until constant timestamptz := clock_timestamp() + interval '1 minute';
    v_name text;
    v_day date;
    v_days date[] := array[]::date[];
begin
    for v_name in
        -- Digits compare as their days do. No to_date(): the planner may ask it of every table in
        -- the database before it looks which of them are partitions.
        select right(c.relname, 8)
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        where i.inhparent = to_regclass('scheduler_internal.' || quote_ident(parent))
          and right(c.relname, 8) < to_char(before at time zone 'UTC', 'YYYYMMDD') collate "C"
        order by 1
    loop
        exit when cardinality(v_days) = 30 or clock_timestamp() > v_until;
        v_day := to_date(v_name, 'YYYYMMDD');
        begin
            -- In this order: what ends between the two questions is seen by the second.
            continue when parent = 'history' and (
                scheduler_internal.is_awaited(v_day)
                or scheduler_internal.ended_since(v_day, before));
        exception when lock_not_available then
            exit;  -- a long query reads it; the next call tries again
        end;
        v_days := v_days || v_day;
    end loop;
    return v_days;
end;
$$;

comment on function scheduler_internal.expired_days(text, timestamptz) is
    'The days of a table before that of a time that are to be dropped';

create or replace function scheduler_internal.ensure_partition(parent text, day date)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- Creates the partition of one day (UTC), unless there is one. Made apart and attached, which locks
-- out no reader and no writer of the parent; CREATE ... PARTITION OF would.
-- Locks: the parent, SHARE UPDATE EXCLUSIVE, until the commit; who may not wait for a client sets a
-- lock_timeout. Returns whether it was missing.
declare
    v_name constant text := parent || to_char(day, '_YYYYMMDD');
    v_from text;
    v_to text;
    v_bounds text;
begin
    if to_regclass('scheduler_internal.' || quote_ident(v_name)) is not null then
        return false;
    end if;
    -- One creator at a time; the others find it made. Not by an advisory lock, which any login can
    -- take and keep.
    execute format('lock table only scheduler_internal.%I in share update exclusive mode', parent);
    if to_regclass('scheduler_internal.' || quote_ident(v_name)) is not null then
        return false;
    end if;
    -- As text that no DateStyle misreads.
    v_from := to_char(day, 'YYYY-MM-DD"T00:00:00Z"');
    v_to := to_char(day + 1, 'YYYY-MM-DD"T00:00:00Z"');
    v_bounds := case parent
        when 'history' then format('from (%L) to (%L)',
            scheduler_internal.id_floor(v_from::timestamptz),
            scheduler_internal.id_floor(v_to::timestamptz))
        else format('from (%L) to (%L)', v_from, v_to) end;
    -- Append-only: the insert threshold has vacuum freeze it while it is still in memory.
    execute format('create table scheduler_internal.%I (like scheduler_internal.%I including all)
                    with (autovacuum_vacuum_insert_scale_factor = 0.2%s)', v_name, parent,
                   case parent when 'rollups' then ', fillfactor = 70' else '' end);
    execute format('alter table scheduler_internal.%I attach partition scheduler_internal.%I
                    for values %s', parent, v_name, v_bounds);
    return true;
end;
$$;

comment on function scheduler_internal.ensure_partition(text, date) is
    'Creates the partition of one day, unless there is one';

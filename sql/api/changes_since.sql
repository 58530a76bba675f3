create or replace function scheduler.changes_since(cursor text default null)
returns json
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
-- What was changed since the call that gave this cursor (null: nothing yet), for those who cannot
-- LISTEN to scheduler_changes: {"cursor": …, "changes": [{"kind": …, "id": …}], "all": …}. Where
-- "all" is true there were more than 1,000, or the cursor is older than the day that is looked
-- through: everything may have changed.
--
-- A cursor is a snapshot, and its time. A change counts from its commit on, which may come long
-- after the call: whoever goes by times or numbers misses what is committed late. (But for a
-- transaction that is open for more than a day.) What is ahead of all transactions here came with
-- a dump of another server, and is no change.
-- Raises: 22023 for a wrong cursor.
declare
    v_most constant integer := 1000;
    v_now constant timestamptz := scheduler.now();
    v_yesterday constant timestamptz := v_now - interval '1 day';
    v_since pg_snapshot;
    v_asked_at timestamptz;  -- null in a cursor of an earlier release
    v_changes json[];
begin
    begin
        v_since := coalesce(split_part(cursor, '@', 1)::pg_snapshot, pg_current_snapshot());
        v_asked_at := to_timestamp(nullif(split_part(cursor, '@', 2), '')::bigint);
    exception when data_exception then
        perform scheduler_internal.refuse_cursor(cursor, 'cursor');
    end;
    v_changes := array(
        select json_build_object('kind', x.kind, 'id', x.object_id)
        from (
            select distinct scheduler_internal.kind_of(a.action) as kind, a.object_id
            from scheduler_internal.audit_log a
            where a.at > v_yesterday and a.xid >= pg_snapshot_xmin(v_since)
              and not pg_visible_in_snapshot(a.xid, v_since)
              and a.xid < pg_snapshot_xmax(pg_current_snapshot()) and a.action <> 'trigger_job'
            limit v_most + 1
        ) x);
    return json_build_object(
        'cursor', format('%s@%s', pg_current_snapshot(), floor(extract(epoch from v_now))),
        'changes', array_to_json(v_changes[:v_most]),
        'all', cardinality(v_changes) > v_most or (v_asked_at <= v_yesterday) is true);
end;
$$;

comment on function scheduler.changes_since(text) is
    'What was changed since the call that gave the cursor: {"cursor": …, "changes": [{"kind": '
    '"job", "id": …}], "all": false}. For those who cannot LISTEN to scheduler_changes';

create or replace function scheduler.list_audit(
    action text default null,
    object_id uuid default null,
    actor text default null,
    request_id text default null,
    from_time timestamptz default null,
    to_time timestamptz default null,
    after text default null,
    max_rows integer default 50
)
returns json
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_sort = off
set jit = off
as $$
-- A page of the audit log, newest first, from from_time to to_time (not included). Looks at 20,000
-- entries at most: rare matches make short pages that have a next_cursor all the same.
-- Raises: 22023 for a wrong cursor or number of rows.
declare
    v_window constant integer := 20000;
    v_from constant timestamptz := coalesce(from_time, '-infinity');
    v_at timestamptz := coalesce(to_time, 'infinity');
    v_id uuid := scheduler_internal.id_floor('epoch');  -- of those at v_at: only lower ones
    v_items json[];
    v_keys text[];
    v_next text;
begin
    perform scheduler_internal.check_page(max_rows);
    begin
        if split_part(after, ',', 1)::timestamptz < v_at then
            v_at := split_part(after, ',', 1)::timestamptz;
            v_id := split_part(after, ',', 2)::uuid;
        end if;
    exception when data_exception then
        perform scheduler_internal.refuse_cursor(after);
    end;
    select array_agg(to_json(p) order by p.at desc, p.audit_id desc),
           array_agg(p.at || ',' || p.audit_id order by p.at desc, p.audit_id desc)
    into v_items, v_keys
    from (
        select l.*
        from (
            select a.* from scheduler.audit_log a
            where a.at between v_from and v_at and (a.at, a.audit_id) < (v_at, v_id)
            order by a.at desc, a.audit_id desc
            limit v_window
        ) l
        where (list_audit.action is null or l.action = list_audit.action)
          and (list_audit.object_id is null or l.object_id = list_audit.object_id)
          and (list_audit.request_id is null or l.request_id = list_audit.request_id)
          and (list_audit.actor is null or list_audit.actor in (l.actor, l.api_key))
        order by l.at desc, l.audit_id desc
        limit max_rows + 1
    ) p;
    if cardinality(v_items) > max_rows then
        v_next := v_keys[max_rows];
    else
        select a.at || ',' || a.audit_id into v_next from scheduler.audit_log a
        where a.at between v_from and v_at and (a.at, a.audit_id) < (v_at, v_id)
        order by a.at desc, a.audit_id desc
        offset v_window - 1
        limit 1;
    end if;
    return scheduler_internal.page(array_to_json(v_items[:max_rows]), v_next);
end;
$$;

comment on function scheduler.list_audit is
    'A page of the audit log as JSON, newest first: {"items": […], "next_cursor": …}. actor: a '
    'database login, or the name of an API key';

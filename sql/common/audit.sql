create or replace function scheduler_internal.audit(
    action text,
    object_id uuid,
    object_name text,
    detail jsonb default null
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- In PL/pgSQL, which keeps the plans.
begin
    perform scheduler_internal.ensure_partition(
        'audit_log', (scheduler.now() at time zone 'UTC')::date);
    -- session_user: the functions run as their owner, the log names who called.
    insert into scheduler_internal.audit_log
        (at, audit_id, actor, action, object_id, object_name, detail, request_id, api_key, xid)
    values (scheduler.now(), gen_random_uuid(), session_user, action, object_id, object_name,
            detail, scheduler_internal.setting('request_id', null),
            scheduler_internal.setting('api_key', null), pg_current_xact_id());
    -- For those who hold a copy. Sent at the commit, under a lock that one transaction has at a
    -- time: so not where an execution is made, of which there may be thousands a second.
    if action <> 'trigger_job' then
        perform pg_notify('scheduler_changes', json_build_object(
            'kind', scheduler_internal.kind_of(action), 'id', object_id)::text);
    end if;
end;
$$;

comment on function scheduler_internal.audit(text, uuid, text, jsonb) is
    'Notes a change in the audit log, with its caller and what start_request() said of the '
    'request, and notifies the channel scheduler_changes of it';

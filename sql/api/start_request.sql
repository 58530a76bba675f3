create or replace function scheduler.start_request(
    request_id text,
    api_key text default null,
    scopes text[] default null,
    traceparent text default null,
    idempotency_key text default null,
    key_id uuid default null,
    request_hash bytea default null,
    out status integer,
    out response json
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
-- The first statement of a transaction that writes for a request: who asks, for what comes after
-- it. api_key is a key's name, for the audit log; scopes are what that key may do (null: anything).
--
-- An idempotency_key is reserved, for the API key at hand and for 24 hours. Where it has been used
-- for the same request, its answer comes back and nothing else is to be done; else both are null.
-- Locks: advisory, by the idempotency key, until the end of the transaction: tried, never waited
-- for. Writes: idempotency_keys; transaction-local settings.
-- Raises: 22023 for a malformed idempotency_key; JB002 where it belongs to another request, JB003
-- where that request is still at work.
declare
    v_now constant timestamptz := scheduler.now();
    v_today constant date := (v_now at time zone 'UTC')::date;
    v_key_id constant uuid := coalesce(key_id, '00000000-0000-0000-0000-000000000000');
    v_old scheduler_internal.idempotency_keys;
begin
    perform scheduler_internal.check_traceparent(traceparent);
    perform set_config('scheduler.request_id', coalesce(request_id, ''), true),
            set_config('scheduler.api_key', coalesce(api_key, ''), true),
            -- "none" is no scope; it keeps "may do nothing" and "nothing is said" apart.
            set_config('scheduler.scopes',
                       coalesce(nullif(array_to_string(scopes, ','), ''),
                                case when scopes is not null then 'none' else '' end), true),
            set_config('scheduler.traceparent', coalesce(traceparent, ''), true);
    if idempotency_key is null then
        return;
    end if;
    if length(idempotency_key) not between 1 and 255 then
        perform scheduler_internal.refuse('invalid idempotency key',
            format('It has 1 to 255 characters, not %s.', length(idempotency_key)),
            'Use a UUID.', argument => 'idempotency_key');
    end if;
    -- Whoever has the lock, has committed or is still at work.
    if pg_try_advisory_xact_lock(
           hashtextextended(v_key_id::text || idempotency_key, 1885828201)) then
        select i.* into v_old from scheduler_internal.idempotency_keys i
        where i.key_id = v_key_id and i.idempotency_key = start_request.idempotency_key
          and i.day >= v_today - 1 and i.reserved_at > v_now - interval '24 hours';
        if not found then
            perform scheduler_internal.ensure_partition('idempotency_keys', v_today);
            insert into scheduler_internal.idempotency_keys
                (day, key_id, idempotency_key, request_hash, reserved_at)
            values (v_today, v_key_id, start_request.idempotency_key, start_request.request_hash,
                    v_now)
            on conflict do nothing;
            if found then
                return;
            end if;
        end if;
    end if;
    if v_old.status is null then
        perform scheduler_internal.refuse('a request with this idempotency key is still at work',
            'It has begun and not ended.', 'Wait a moment and send it again.', 'JB003');
    elsif v_old.request_hash is distinct from request_hash then
        perform scheduler_internal.refuse('the idempotency key belongs to another request',
            format('It was used at %s.', v_old.reserved_at),
            'Use a new key for a new request.', 'JB002', 'idempotency_key');
    end if;
    status := v_old.status;
    response := v_old.response;
end;
$$;

comment on function scheduler.start_request(
    text, text, text[], text, text, uuid, bytea) is
    'Begins a transaction of the REST API: notes who asks, and reserves the idempotency key. '
    'Returns the answer that is to be given again, if the request was made before';

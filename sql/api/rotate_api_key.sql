create or replace function scheduler.rotate_api_key(
    inout key_id uuid,
    overlap interval default '1 day',
    out api_key text
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
-- A second key of the same name and scopes, with as long a life as the first had. The first works
-- on for the overlap, in which its users change over.
-- Locks: the key's row. Writes: api_keys, audit_log.
-- Raises: P0002 for an unknown key; 55000 for one that has ended or been rotated already; 22023 for
-- an overlap that is wrong.
declare
    v_now constant timestamptz := scheduler.now();
    v_old scheduler_internal.api_keys;
    v_new record;
    v_expires_at timestamptz;
begin
    if overlap is null or overlap not between '0' and interval '1 year' then
        perform scheduler_internal.refuse(
            format('overlap %s is out of range', coalesce(overlap::text, 'null')),
            'It is 0 to 1 year.', 'Say how long the old key is to work on.',
            argument => 'overlap');
    end if;
    v_old := scheduler_internal.lock_api_key(key_id);
    if v_old.revoked_at is not null or v_old.expires_at <= v_now
       or v_old.replaced_by is not null then
        perform scheduler_internal.refuse(
            format('key %s cannot be rotated', v_old.prefix),
            case when v_old.revoked_at is not null then format('Revoked at %s.', v_old.revoked_at)
                 when v_old.expires_at <= v_now then format('Expired at %s.', v_old.expires_at)
                 else format('Key %s has replaced it.', v_old.replaced_by) end,
            'Use scheduler.create_api_key, or rotate the key that replaced it.', '55000');
    end if;
    v_new := scheduler_internal.make_api_key(
        v_old.name, v_old.scopes, v_now + (v_old.expires_at - v_old.created_at));
    v_expires_at := least(v_old.expires_at, v_now + overlap);
    update scheduler_internal.api_keys k
    set replaced_by = v_new.key_id, expires_at = v_expires_at
    where k.key_id = v_old.key_id;
    perform scheduler_internal.audit('rotate_api_key', v_old.key_id, v_old.name,
        jsonb_build_object('replaced_by', v_new.key_id, 'expires_at', v_expires_at));
    key_id := v_new.key_id;
    api_key := v_new.api_key;
end;
$$;

comment on function scheduler.rotate_api_key(uuid, interval) is
    'A second key of the same name and scopes; returns its id and its secret. The first expires '
    'after the overlap';

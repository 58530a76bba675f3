create or replace function scheduler.revoke_api_key(key_id uuid)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
-- Ends a key, for good. Every API process forgets it when it hears of the change, or within 5 s.
-- Locks: the key's row. Writes: api_keys, audit_log; nothing when it was revoked before.
-- Raises: P0002 for an unknown key.
declare
    v_key scheduler_internal.api_keys;
begin
    v_key := scheduler_internal.lock_api_key(key_id);
    if v_key.revoked_at is not null then
        return;
    end if;
    update scheduler_internal.api_keys k
    set revoked_at = scheduler.now()
    where k.key_id = v_key.key_id;
    perform scheduler_internal.audit('revoke_api_key', v_key.key_id, v_key.name);
end;
$$;

comment on function scheduler.revoke_api_key(uuid) is 'Ends a key of the REST API, for good';

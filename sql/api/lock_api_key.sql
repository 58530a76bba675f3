create or replace function scheduler_internal.lock_api_key(key_id uuid)
returns scheduler_internal.api_keys
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- Locks: the key's row. Raises: P0002 for an unknown key.
declare
    v_key scheduler_internal.api_keys;
begin
    select k.* into v_key from scheduler_internal.api_keys k
    where k.key_id = lock_api_key.key_id
    for update;
    if not found then
        perform scheduler_internal.refuse(
            format('key %s does not exist', coalesce(key_id::text, 'null')),
            'No key has this id.', 'List what there is: select * from scheduler.api_keys.',
            'P0002');
    end if;
    return v_key;
end;
$$;

comment on function scheduler_internal.lock_api_key(uuid) is
    'A key of the REST API, locked against other changes';

create or replace function scheduler_internal.make_api_key(
    name text,
    scopes text[],
    expires_at timestamptz,
    out key_id uuid,
    out api_key text
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- The one place that knows a secret: it goes to the caller, and its hash into the table.
-- Writes: api_keys.
begin
    key_id := gen_random_uuid();
    -- 244 random bits, from the server's source of strong random numbers.
    api_key := 'pgt_' || replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
    insert into scheduler_internal.api_keys
        (key_id, name, prefix, key_hash, scopes, created_at, created_by, expires_at)
    values (make_api_key.key_id, make_api_key.name, left(api_key, 12),
            sha256(convert_to(api_key, 'UTF8')), make_api_key.scopes, scheduler.now(),
            session_user, make_api_key.expires_at);
end;
$$;

comment on function scheduler_internal.make_api_key(text, text[], timestamptz) is
    'What create_api_key and rotate_api_key have in common';

create or replace function scheduler.check_api_key(api_key_hash bytea)
returns table (key_id uuid, name text, scopes text[], expires_at timestamptz)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
-- By the hash: the secret itself is in no statement, and so in no log. In PL/pgSQL, which keeps the
-- plan.
begin
    return query
    select k.key_id, k.name, k.scopes, k.expires_at
    from scheduler_internal.api_keys k
    where k.key_hash = api_key_hash and k.revoked_at is null
      and (k.expires_at is null or k.expires_at > scheduler.now());
end;
$$;

comment on function scheduler.check_api_key(bytea) is
    'The key whose secret has this SHA-256; no row when it is unknown, revoked or expired';

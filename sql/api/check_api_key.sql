create or replace function scheduler.check_api_key(api_key_hash bytea)
returns table (key_id uuid, name text, scopes text[], expires_at timestamptz)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
-- By the hash: the secret itself is in no statement, and so in no log. In PL/pgSQL, which keeps the
-- plan. The id is that of the first key where it has been rotated: whoever holds the second is the
-- same client, and what he sends again as the first key is not to be done twice.
begin
    return query
    select (with recursive line as (
                select k.key_id as id, 0 as age
                union all
                select o.key_id, l.age + 1
                from line l
                join scheduler_internal.api_keys o on o.replaced_by = l.id)
            select l.id from line l order by l.age desc limit 1),
           k.name, k.scopes, k.expires_at
    from scheduler_internal.api_keys k
    where k.key_hash = api_key_hash and k.revoked_at is null
      and (k.expires_at is null or k.expires_at > scheduler.now());
end;
$$;

comment on function scheduler.check_api_key(bytea) is
    'The key whose secret has this SHA-256, with the id of the first where it has been rotated; no '
    'row when it is unknown, revoked or expired';

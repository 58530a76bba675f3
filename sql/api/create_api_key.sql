create or replace function scheduler.create_api_key(
    name text,
    scopes text[],
    expires_at timestamptz default null
)
returns table (key_id uuid, api_key text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
-- Makes a key of the REST API. The secret is in the answer and nowhere else: who loses it makes
-- another.
-- Writes: api_keys, audit_log.
-- Raises: 22023 for a name, scope or end that is wrong.
declare
    v_known constant text[] := array['read', 'enqueue', 'operate', 'admin'];
    v_scopes text[];
    v_key record;
begin
    if name is null or length(name) not between 1 and 100 or name ~ '[[:cntrl:]]'
       or name <> btrim(name) then
        perform scheduler_internal.refuse(
            format('invalid key name %L', left(name, 80)),
            'It has 1 to 100 characters, no control characters, and no space at either end.',
            'Name who will use the key: the audit log shows it.', argument => 'name');
    end if;
    if coalesce(scopes, '{}') = '{}' or not scopes <@ v_known then
        perform scheduler_internal.refuse(
            format('invalid scopes %L', left(scopes::text, 80)),
            format('They are one or more of %s.', array_to_string(v_known, ', ')),
            'Give as few as the key needs: ''{read,enqueue}''.', argument => 'scopes');
    end if;
    if not isfinite(expires_at) or expires_at <= scheduler.now() then
        perform scheduler_internal.refuse(
            format('expires_at %s is not ahead', expires_at), 'The key would never work.',
            'Give a time in the future; null for a key without an end.', argument => 'expires_at');
    end if;
    if expires_at >= timestamptz '9999-01-01 00:00+00' then
        perform scheduler_internal.refuse(
            format('expires_at %s is too far ahead', expires_at),
            'Not every language knows the years from 9999 on.',
            'Leave it null for a key without an end.', argument => 'expires_at');
    end if;
    v_scopes := array(select s from unnest(v_known) s where s = any (scopes));
    v_key := scheduler_internal.make_api_key(name, v_scopes, expires_at);
    perform scheduler_internal.audit('create_api_key', v_key.key_id, name,
        jsonb_build_object('scopes', v_scopes, 'expires_at', expires_at));
    return query select v_key.key_id, v_key.api_key;
end;
$$;

comment on function scheduler.create_api_key(text, text[], timestamptz) is
    'Makes a key of the REST API with the scopes read, enqueue, operate or admin (which is all of '
    'them), and returns its secret: it is shown this once, and only its hash is kept';

create or replace view scheduler.api_keys as
select k.key_id, k.name, k.prefix, k.scopes,
       case when k.revoked_at is not null then 'revoked'
            when k.expires_at <= scheduler.now() then 'expired'
            else 'active' end as status,
       k.created_at, k.created_by, k.expires_at, k.revoked_at, k.replaced_by
from scheduler_internal.api_keys k;

comment on view scheduler.api_keys is
    'The keys of the REST API: active, expired or revoked. replaced_by: the key that '
    'rotate_api_key() made of it';

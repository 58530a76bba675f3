-- What the REST API keeps: its keys, and the answers that a repeated request gets again.

create table scheduler_internal.api_keys (
    key_id uuid primary key,
    name text not null,
    prefix text not null,
    key_hash bytea not null,
    scopes text[] not null,
    created_at timestamptz not null,
    created_by text not null,
    expires_at timestamptz,
    revoked_at timestamptz,
    replaced_by uuid,
    constraint key_hash_is_unique unique (key_hash),
    constraint scopes_are_known check (scopes <@ '{read,enqueue,operate,admin}' and scopes <> '{}')
);
comment on table scheduler_internal.api_keys is
    'The keys of the REST API. Of the secret only its SHA-256 is kept, and its first characters so '
    'that a person can tell keys apart';

-- By day, because an answer is kept for a day: dropped whole. The day is part of the key, so that
-- around midnight one key could be reserved twice; start_request() looks at both days under a lock.
create table scheduler_internal.idempotency_keys (
    day date not null,
    key_id uuid not null,
    idempotency_key text not null,
    request_hash bytea,
    reserved_at timestamptz not null,
    status integer,
    response json,
    primary key (key_id, idempotency_key, day)
) partition by range (day);
comment on table scheduler_internal.idempotency_keys is
    'The answers to requests with an Idempotency-Key, written in the transaction of their effect';
comment on column scheduler_internal.idempotency_keys.key_id is
    'Whose key it is: each API key has its own; all zeros where there is none';

-- No comments on these columns: a new partition would copy them, one that is there would not.
alter table scheduler_internal.audit_log add column api_key text;  -- the name of the key
-- The transaction of the change. Its time is that of the call; whether it was committed after
-- another snapshot was taken, only this tells: by it changes_since() misses none.
alter table scheduler_internal.audit_log add column xid xid8;
-- All three indexes are made in the migration's one transaction, which holds up writers of the
-- tables meanwhile.

-- The ledger of a job, read a page at a time. Only fires are in it.
-- squawk-ignore require-concurrent-index-creation
create index history_job_id_fire_at_idx on scheduler_internal.history (job_id, fire_at)
    where final and fire_at is not null;

-- By it changes_since() finds what is new.
-- squawk-ignore require-concurrent-index-creation
create index audit_log_xid_idx on scheduler_internal.audit_log (xid);

-- In an order that is the same on every server, whatever its locale: a page of names ends at one of
-- them, and the next begins there.
-- squawk-ignore require-concurrent-index-creation
create index job_names_name_idx on scheduler_internal.job_names (name collate "C");

create or replace function scheduler.end_request(
    idempotency_key text,
    key_id uuid,
    status integer,
    response json
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
-- Keeps the answer to a request, in the transaction that start_request() began: effect and answer
-- are committed together, or neither is.
-- Writes: idempotency_keys.
-- Raises: P0002 for a key that this transaction has not reserved; 22023 for a missing status.
begin
    if status is null then
        perform scheduler_internal.refuse('status is null', 'Without it there is no answer.',
            'Give the HTTP status.', argument => 'status');
    end if;
    update scheduler_internal.idempotency_keys i
    set status = end_request.status, response = end_request.response
    where i.key_id = coalesce(end_request.key_id, '00000000-0000-0000-0000-000000000000')
      and i.idempotency_key = end_request.idempotency_key
      and i.day >= (scheduler.now() at time zone 'UTC')::date - 1 and i.status is null;
    if not found then
        perform scheduler_internal.refuse('the idempotency key is not reserved',
            'No request with it has begun in this transaction.',
            'Call scheduler.start_request first.', 'P0002');
    end if;
end;
$$;

comment on function scheduler.end_request(text, uuid, integer, json) is
    'Keeps the answer to a request with an idempotency key, for those who send it again';

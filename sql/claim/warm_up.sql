create or replace function scheduler.warm_up()
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
-- Makes the plans of claim() and finish() that a session makes once, so that a worker's first job
-- need not wait for them (a new session's first claim took 15 ms, its first finish too; so they
-- take 3 and 5). Nothing rests on it: behind a pooler another session may answer.
-- Locks, Writes: where shard 0 is walked far, as note_sweep().
begin
    perform scheduler_internal.claim_shard(0, null, 0, null, null, null, scheduler.now());
    perform scheduler_internal.lanes(0, false, '{}');  -- as who serves some queues only
    perform scheduler_internal.finish_shard(0, null, '{}', '{}', '{}', null, null, null,
        scheduler.now());
end;
$$;

comment on function scheduler.warm_up() is
    'Makes the plans that a session''s first claim and finish would make. What a worker begins '
    'with';

create or replace function scheduler.report_progress(
    worker_id uuid,
    execution_id uuid,
    attempt integer,
    progress jsonb
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
-- Notes how far an execution has come; it stays with the attempt in the history. False: stale,
-- discard.
-- Writes: running (HOT: no index on it). Raises: 22023 for a document that is too large.
declare
    v_shard constant integer := scheduler.get_shard_id(execution_id);
begin
    perform scheduler_internal.check_document('progress', progress);
    update scheduler_internal.running r
    set progress = report_progress.progress
    where r.shard = v_shard and r.execution_id = report_progress.execution_id
      and r.attempt = report_progress.attempt and r.worker_id = report_progress.worker_id;
    return found;
end;
$$;

comment on function scheduler.report_progress(uuid, uuid, integer, jsonb) is
    'Notes how far a running execution has come. False: the attempt is stale';

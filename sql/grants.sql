-- Who may call what: by role, each function by its exact signature. tests/roles tries every pair of
-- the two. Applied after every change of a function: what is created anew may be executed by
-- everybody until here.

revoke all on schema scheduler, scheduler_internal from public;
revoke all on all tables in schema scheduler, scheduler_internal from public;
revoke all on all routines in schema scheduler, scheduler_internal from public;
revoke all on type
    scheduler_internal.schedule_spec,
    scheduler_internal.job_definition,
    scheduler_internal.execution_policy,
    scheduler_internal.claimed_version
from public;

-- What an earlier version granted and this one does not. (Not in scheduler_internal from
-- scheduler_sql, which owns a function there.)
revoke all on all tables in schema scheduler, scheduler_internal from
    scheduler_client, scheduler_worker, scheduler_reader, scheduler_admin, scheduler_sql;
revoke all on all routines in schema scheduler, scheduler_internal from
    scheduler_client, scheduler_worker, scheduler_reader, scheduler_admin;
revoke all on all routines in schema scheduler from scheduler_sql;

grant usage on schema scheduler to
    scheduler_client, scheduler_worker, scheduler_reader, scheduler_admin, scheduler_sql;

-- Everybody who is somebody
grant execute on function
    scheduler.now(),
    scheduler.get_shard_id(uuid)
to scheduler_client, scheduler_worker, scheduler_reader, scheduler_admin;

grant execute on function
    scheduler.next_fire(text, text, timestamptz, text),
    scheduler.preview(text, text, integer, timestamptz, text),
    scheduler.describe(text)
to scheduler_client, scheduler_reader, scheduler_admin;

-- Reading. A view calls its functions with the rights of its reader; outside the view nobody finds
-- these, without USAGE of their schema.
grant execute on function
    scheduler_internal.knows_time_zone(text),
    scheduler_internal.instants(
        scheduler_internal.schedule_spec, text, timestamptz, timestamptz, integer)
to scheduler_client, scheduler_reader, scheduler_admin;

grant select on
    scheduler.jobs, scheduler.executions, scheduler.attempts, scheduler.fires, scheduler.queues,
    scheduler.workers, scheduler.stats
to scheduler_client, scheduler_reader, scheduler_admin;

grant select on scheduler.audit_log to scheduler_reader, scheduler_admin;

grant execute on function
    scheduler.list_audit(text, uuid, text, text, timestamptz, timestamptz, text, integer)
to scheduler_reader, scheduler_admin;

grant execute on function
    scheduler.get_execution(uuid),
    scheduler.get_job_json(uuid),
    scheduler.get_execution_json(uuid),
    scheduler.list_jobs(text, text, text, text, boolean, text, integer),
    scheduler.list_executions(
        text, uuid, text, text, text, timestamptz, timestamptz, text, text, integer),
    scheduler.list_fires(uuid, timestamptz, timestamptz, text, integer),
    scheduler.list_attempts(uuid, text, integer),
    scheduler.list_queues(),
    scheduler.list_workers(),
    scheduler.list_stats(timestamptz, timestamptz, interval, text, text),
    scheduler.activity(timestamptz),
    scheduler.changes_since(text),
    scheduler.preview_json(text, text, integer, timestamptz, text),
    scheduler.preview_job_json(uuid, integer, timestamptz)
to scheduler_client, scheduler_reader, scheduler_admin;

grant execute on function
    scheduler.health(),
    scheduler.worker_demand(integer, integer, integer)
to scheduler_reader, scheduler_worker, scheduler_admin;

-- Jobs and executions
grant execute on function
    scheduler.create_job(
        text, text, jsonb, text, text, jsonb, text, integer, integer, text, interval, interval,
        interval, interval, text, interval, integer, text, text, interval, timestamptz,
        timestamptz, text[]),
    scheduler.put_job(
        text, text, jsonb, text, text, jsonb, text, integer, integer, text, interval, interval,
        interval, interval, text, interval, integer, text, text, interval, timestamptz,
        timestamptz, text[], integer),
    scheduler.replace_job(
        uuid, text, jsonb, text, text, jsonb, text, integer, integer, text, interval, interval,
        interval, interval, text, interval, integer, text, text, interval, timestamptz,
        timestamptz, text[], integer),
    scheduler.update_job(uuid, jsonb, integer),
    scheduler.delete_job(uuid, integer),
    scheduler.pause_job(uuid, text),
    scheduler.resume_job(uuid),
    scheduler.trigger_job(uuid, jsonb, timestamptz),
    scheduler.backfill_job(uuid, timestamptz, timestamptz),
    scheduler.enqueue(text, jsonb, jsonb, text, integer, timestamptz, text, integer, text, interval,
        interval, interval, interval, text),
    scheduler.enqueue_many(jsonb),
    scheduler.cancel_execution(uuid),
    scheduler.retry_execution(uuid)
to scheduler_client, scheduler_admin;

-- The REST API
grant execute on function
    scheduler.start_request(text, text, text[], text, text, uuid, bytea),
    scheduler.end_request(text, uuid, integer, json)
to scheduler_client, scheduler_admin;

grant execute on function
    scheduler.check_api_key(bytea),
    scheduler.metrics_json(),
    scheduler.schema_version(),
    scheduler.status_json()
to scheduler_client, scheduler_reader, scheduler_admin;

grant execute on function
    scheduler.create_api_key(text, text[], timestamptz),
    scheduler.rotate_api_key(uuid, interval),
    scheduler.revoke_api_key(uuid)
to scheduler_admin;

grant select on scheduler.api_keys to scheduler_admin;

-- Tickers and workers
grant execute on function
    scheduler.due_shards(),
    scheduler.tick_shard(integer, integer),
    scheduler.tick_ahead(integer),
    scheduler.tick(integer),
    scheduler.reap(),
    scheduler.maintain(),
    scheduler.heartbeat(uuid, text, text[], text[], integer, interval, boolean, uuid[], integer[]),
    scheduler.claim(uuid, integer, text[], text[], text[], integer),
    scheduler.warm_up(),
    scheduler.poll_order(uuid),
    scheduler.release(uuid, uuid[], integer[]),
    scheduler.report_progress(uuid, uuid, integer, jsonb),
    scheduler.finish(uuid, uuid[], integer[], text[], jsonb[], jsonb[], interval[]),
    scheduler.stop_worker(uuid),
    scheduler.run_sql_jobs(integer)
to scheduler_worker, scheduler_admin;

-- What a SQL job runs as: the one function, and it needs the token that claim() gave to the worker.
-- Without CREATE on the schema nobody can own a function in it: granted for the one statement.
grant execute on function
    scheduler.finish_sql_job(uuid, integer, uuid, jsonb)
to scheduler_sql;

grant usage, create on schema scheduler_internal to scheduler_sql;
alter function scheduler_internal.run_as_scheduler_sql(text) owner to scheduler_sql;
revoke all on schema scheduler_internal from scheduler_sql;
revoke all on function scheduler_internal.run_as_scheduler_sql(text) from public;
grant execute on function scheduler_internal.run_as_scheduler_sql(text) to scheduler_owner;

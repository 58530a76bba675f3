"""Who may do what, written down once more: not derived from sql/grants.sql, so that the two must agree."""

from __future__ import annotations

CLIENT, WORKER, READER, ADMIN, SQL = (
    "scheduler_client",
    "scheduler_worker",
    "scheduler_reader",
    "scheduler_admin",
    "scheduler_sql",
)
STRANGER = "pgtick_stranger"  # a login role without any of ours, made by the tests
ROLES = (CLIENT, WORKER, READER, ADMIN, SQL, STRANGER)

_READERS = {CLIENT, READER, ADMIN}
_WRITERS = {CLIENT, ADMIN}
_RUNNERS = {WORKER, ADMIN}

# Functions by name: none has a second signature (tests/lint sees to that).
FUNCTIONS: dict[str, set[str]] = {
    # everybody who is somebody
    "scheduler.now": {CLIENT, WORKER, READER, ADMIN},
    "scheduler.get_shard_id": {CLIENT, WORKER, READER, ADMIN},
    # reading
    "scheduler.next_fire": _READERS,
    "scheduler.preview": _READERS,
    "scheduler.describe": _READERS,
    "scheduler.get_execution": _READERS,
    "scheduler.get_job_json": _READERS,
    "scheduler.get_execution_json": _READERS,
    "scheduler.list_jobs": _READERS,
    "scheduler.list_executions": _READERS,
    "scheduler.list_fires": _READERS,
    "scheduler.list_attempts": _READERS,
    "scheduler.list_queues": _READERS,
    "scheduler.list_workers": _READERS,
    "scheduler.list_stats": _READERS,
    "scheduler.list_audit": {READER, ADMIN},
    "scheduler.activity": _READERS,
    "scheduler.changes_since": _READERS,
    "scheduler.preview_json": _READERS,
    "scheduler.preview_job_json": _READERS,
    "scheduler.health": {WORKER, READER, ADMIN},
    "scheduler.worker_demand": {WORKER, READER, ADMIN},
    # jobs and executions
    "scheduler.create_job": _WRITERS,
    "scheduler.put_job": _WRITERS,
    "scheduler.replace_job": _WRITERS,
    "scheduler.update_job": _WRITERS,
    "scheduler.delete_job": _WRITERS,
    "scheduler.pause_job": _WRITERS,
    "scheduler.resume_job": _WRITERS,
    "scheduler.trigger_job": _WRITERS,
    "scheduler.backfill_job": _WRITERS,
    "scheduler.enqueue": _WRITERS,
    "scheduler.enqueue_many": _WRITERS,
    "scheduler.cancel_execution": _WRITERS,
    "scheduler.retry_execution": _WRITERS,
    # the REST API
    "scheduler.start_request": _WRITERS,
    "scheduler.end_request": _WRITERS,
    "scheduler.check_api_key": _READERS,
    "scheduler.metrics_json": _READERS,
    "scheduler.schema_version": _READERS,
    "scheduler.status_json": _READERS,
    "scheduler.create_api_key": {ADMIN},
    "scheduler.rotate_api_key": {ADMIN},
    "scheduler.revoke_api_key": {ADMIN},
    # tickers and workers
    "scheduler.due_shards": _RUNNERS,
    "scheduler.tick_shard": _RUNNERS,
    "scheduler.tick_ahead": _RUNNERS,
    "scheduler.tick": _RUNNERS,
    "scheduler.reap": _RUNNERS,
    "scheduler.maintain": _RUNNERS,
    "scheduler.heartbeat": _RUNNERS,
    "scheduler.claim": _RUNNERS,
    "scheduler.warm_up": _RUNNERS,
    "scheduler.poll_order": _RUNNERS,
    "scheduler.release": _RUNNERS,
    "scheduler.report_progress": _RUNNERS,
    "scheduler.finish": _RUNNERS,
    "scheduler.stop_worker": _RUNNERS,
    "scheduler.run_sql_jobs": _RUNNERS,
    # a SQL job, with its token
    "scheduler.finish_sql_job": {SQL},
    # The view fires calls them with its reader's rights; without USAGE of the schema nobody can name them.
    "scheduler_internal.instants": _READERS,
    "scheduler_internal.knows_time_zone": _READERS,
    # scheduler_sql owns it.
    "scheduler_internal.run_as_scheduler_sql": {SQL},
}

# Views that may be read. Nobody may write to one, and nobody may do anything with a table.
VIEWS: dict[str, set[str]] = {
    "scheduler.jobs": _READERS,
    "scheduler.executions": _READERS,
    "scheduler.attempts": _READERS,
    "scheduler.fires": _READERS,
    "scheduler.queues": _READERS,
    "scheduler.workers": _READERS,
    "scheduler.stats": _READERS,
    "scheduler.audit_log": {READER, ADMIN},
    "scheduler.api_keys": {ADMIN},
}

SCHEMAS: dict[str, set[str]] = {
    "scheduler": {CLIENT, WORKER, READER, ADMIN, SQL},
    "scheduler_internal": set(),
}

# The one function that runs as somebody else than scheduler_owner, and the one that looks in schema public.
RUNS_JOBS = "scheduler_internal.run_as_scheduler_sql"

"""What is true of every function and view."""

from __future__ import annotations

from tests.sql.engine import Engine

# Inlined into their callers, or called for every candidate instant by functions that have set the path.
WITHOUT_SEARCH_PATH = {
    "scheduler_internal.is_far",
    "scheduler_internal.is_sweep_due",
    "scheduler_internal.walked",
    "scheduler_internal.wake_workers",
    "scheduler.get_shard_id",
    "scheduler_internal.make_id",
    "scheduler_internal.new_id",
    "scheduler_internal.shard_of_key",
    "scheduler_internal.id_time",
    "scheduler_internal.id_floor",
    "scheduler_internal.default_policy",
    "scheduler_internal.pack_policy",
    "scheduler_internal.policy_of",
    "scheduler_internal.cap_document",
    "scheduler_internal.spread",
    "scheduler_internal.read_items",
    "scheduler_internal.target_keys",
    "scheduler_internal.may_be_too_much",
    "scheduler_internal.misfire_grace",
    "scheduler_internal.next_instant",
    "scheduler_internal.next_matching_day",
    "scheduler_internal.next_local_step",
    "scheduler_internal.next_elapsed_step",
    "scheduler_internal.offset_change",
    "scheduler_internal.resolve_near_change",
    "scheduler_internal.lowest_bit",
    "scheduler_internal.bit_mask",
    "scheduler_internal.repeat_week",
    "scheduler_internal.nth_weekdays",
    "scheduler_internal.nearest_workdays",
    "scheduler_internal.setting",
    "scheduler_internal.shorten",
    "scheduler_internal.page",
    "scheduler_internal.kind_of",
}
VIEWS = {
    "jobs": "job_id name job_type schedule timezone next_fire_at paused",
    "executions": (
        "execution_id job_id job_name job_type queue status attempt fire_at run_at started_at finished_at"
        " worker_id result error priority max_attempts target payload progress origin traceparent created_at"
    ),
    "attempts": "execution_id attempt status started_at finished_at worker_id result error",
    "fires": "job_id fire_at verdict execution_id decided_at",
    "queues": "queue ready scheduled running oldest_ready_at",
    "workers": "worker_id node_id status queues job_types concurrency running started_at last_beat_at",
    "stats": "minute queue job_type succeeded failed cancelled expired retried wait_seconds run_seconds",
    "audit_log": "at actor action object_id object_name detail",
}


def test_rows_can_be_told_apart(engine: Engine) -> None:
    """Else updates fail as soon as somebody publishes all tables."""
    query = """
        select c.relname from pg_class c
        where c.relnamespace = 'scheduler_internal'::regnamespace and c.relkind = 'r' and c.relreplident = 'd'
          and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)
    """
    assert engine.select(query) == []


def test_the_defaults_are_written_once(engine: Engine) -> None:
    query = """
        select p.proname, a.name,
               (regexp_match(pg_get_function_arguments(p.oid),
                             a.name || ' [a-z]+ DEFAULT ([^,]+)'))[1] as given
        from pg_proc p
        cross join lateral unnest(p.proargnames) a(name)
        where p.pronamespace = 'scheduler'::regnamespace
          and p.proname in ('enqueue', 'create_job', 'put_job')
          and a.name in ('max_attempts', 'backoff', 'backoff_base', 'backoff_max', 'timeout')
    """
    (policy,) = engine.select("select (scheduler_internal.default_policy()).*")
    rows = engine.select(query)
    assert len(rows) == 15
    for row in rows:
        kind = {"max_attempts": "integer", "backoff": "text"}.get(row["name"], "interval")
        value = engine.one(f"select ({row['given']})::{kind} as value")
        assert value == policy[row["name"]], row


def test_the_functions_that_define_jobs_take_the_same(engine: Engine) -> None:
    """But for what says which job it is, and which version of it was meant."""
    query = """
        select count(distinct regexp_replace(pg_get_function_arguments(oid),
            '(^job_id uuid, )|(^name text, )|(, expected_version integer DEFAULT NULL::integer)', '', 'g'))
        from pg_proc
        where pronamespace = 'scheduler'::regnamespace
          and proname in ('create_job', 'put_job', 'replace_job')
    """
    assert engine.one(query) == 1


def test_what_is_public_is_explained(engine: Engine) -> None:
    query = """
        select oid::regprocedure::text as name from pg_proc
        where pronamespace = 'scheduler'::regnamespace and obj_description(oid, 'pg_proc') is null
        union all
        select oid::regclass::text from pg_class
        where relnamespace = 'scheduler'::regnamespace and relkind = 'v'
          and obj_description(oid, 'pg_class') is null
    """
    assert engine.select(query) == []


def test_nobody_overloads(engine: Engine) -> None:
    query = """
        select proname from pg_proc where pronamespace = 'scheduler'::regnamespace
        group by 1 having count(*) > 1
    """
    assert engine.select(query) == []


def test_every_function_has_the_safe_search_path(engine: Engine) -> None:
    query = """
        select pronamespace::regnamespace || '.' || proname as name,
               coalesce('search_path=pg_catalog, pg_temp' = any (proconfig), false) as safe, prosecdef
        from pg_proc
        where pronamespace in ('scheduler'::regnamespace, 'scheduler_internal'::regnamespace)
    """
    unsafe = {row["name"] for row in engine.select(query) if not row["safe"]}
    # The statement of a SQL job runs with the path that its author expects.
    assert unsafe - {"scheduler_internal.run_as_scheduler_sql"} <= WITHOUT_SEARCH_PATH
    definers = {row["name"] for row in engine.select(query) if row["prosecdef"]}
    assert definers & unsafe <= {"scheduler_internal.run_as_scheduler_sql"}


def test_the_views_have_the_promised_columns(engine: Engine) -> None:
    for view, columns in VIEWS.items():
        query = "select attname as name from pg_attribute where attrelid = %s::regclass and attnum > 0"
        present = {row["name"] for row in engine.select(query, f"scheduler.{view}")}
        assert set(columns.split()) <= present, view


def test_shards_are_uniform_and_never_negative(engine: Engine) -> None:
    query = """
        select scheduler.get_shard_id(gen_random_uuid()) as shard, count(*) from generate_series(1, 16000)
        group by 1 order by 1
    """
    rows = engine.select(query)
    assert [row["shard"] for row in rows] == list(range(16))
    assert all(800 < row["count"] < 1200 for row in rows)
    assert engine.one("select scheduler.get_shard_id('01890a5d-ac96-7b40-a5b7-001122334455')") == 11
    assert engine.get_shard_id(job_id=None) is None


def test_ids_sort_by_their_time(engine: Engine) -> None:
    query = """
        select i, scheduler_internal.id_time(id) = at as exact,
               id >= scheduler_internal.id_floor(at)
               and id < scheduler_internal.id_floor(at + '1 millisecond') as fits
        from generate_series(0, 255) i
        cross join lateral (
            select timestamptz '1970-01-01 00:00+00' + i * interval '327 days 1.001 seconds' as at) t
        cross join lateral (select scheduler_internal.new_id(i % 16, at) as id) n
    """
    rows = engine.select(query)
    assert all(row["exact"] and row["fits"] for row in rows)


def test_times_that_no_id_has_bound_all_ids(engine: Engine) -> None:
    query = "select scheduler_internal.id_floor(%s)::text as id"
    for time in ("-infinity", "4713-01-01 BC", "1900-01-01", "1969-12-31 23:59:59.999Z", "epoch"):
        assert set(engine.one(query, time)) == {"0", "-"}, time
    for time in ("20000-01-01", "infinity"):
        assert engine.one(query, time).startswith("ffffffff-ffff-0"), time

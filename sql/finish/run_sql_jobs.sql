create or replace function scheduler.run_sql_jobs(max_executions integer default 100)
returns table (execution_id uuid, status text, error text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
-- The SQL-job runner for psql: claims ready executions of type sql, runs each as the role
-- scheduler_sql, and ends it, all in the caller's transaction; one that fails is undone alone.
-- timeout is not enforced here: set statement_timeout for the call.
-- Locks, Writes: as claim() and finish(), and whatever the jobs do.
-- Raises: 55000 when a job has dropped the function that runs them: whoever runs them owns it, and
-- "drop owned" cannot be refused.
declare
    v_worker_id constant uuid := gen_random_uuid();
    v_path constant text := current_setting('search_path');
    v_state text;
    v_held text[];
    v_claimed record;
    v_rows bigint;
begin
    if to_regprocedure('scheduler_internal.run_as_scheduler_sql(text)') is null then
        perform scheduler_internal.refuse('the runner of SQL jobs is gone',
            'A SQL job has dropped what the role scheduler_sql owns.',
            'Run pgtick migrate: it makes it again.', '55000');
    end if;
    perform scheduler.heartbeat(v_worker_id, node_id => format('psql %s', pg_backend_pid()),
        job_types => '{sql}', concurrency => max_executions, lease => '1 hour');
    for v_claimed in
        select * from scheduler.claim(v_worker_id, max_executions, job_types => '{sql}')
    loop
        execution_id := v_claimed.execution_id;
        begin
            perform set_config('scheduler.execution_id', v_claimed.execution_id::text, true),
                    set_config('scheduler.attempt', v_claimed.attempt::text, true),
                    set_config('scheduler.fire_at', coalesce(v_claimed.fire_at::text, ''), true),
                    set_config('scheduler.payload', coalesce(v_claimed.payload::text, ''), true);
            v_state := scheduler_internal.session_state();
            v_held := array(select h.holding from scheduler_internal.session_holdings() h);
            v_rows := scheduler_internal.run_as_scheduler_sql(v_claimed.target ->> 'statement');
            -- It may have set a search path, for us too: until this has been looked at, nothing is
            -- called by its bare name, no operator either.
            perform scheduler_internal.check_session(
                v_state, v_held, v_path, pg_catalog.current_setting('search_path'));
            perform scheduler_internal.finish_apart(v_worker_id, v_claimed.execution_id,
                v_claimed.attempt, 'succeeded', jsonb_build_object('rowcount', v_rows));
            status := 'succeeded';
            error := null;
        exception when others or assert_failure then  -- which is not among the others
            perform scheduler_internal.tidy_session(v_held);
            status := 'failed';
            error := sqlerrm;
            perform scheduler_internal.finish_apart(v_worker_id, v_claimed.execution_id,
                v_claimed.attempt, 'failed', error => jsonb_build_object(
                    'type', sqlstate, 'message', sqlerrm));
        end;
        return next;
    end loop;
    perform scheduler.stop_worker(v_worker_id);
    -- Of this session the last is enough: with \watch 1 there would be 86,400, until a day is over.
    delete from scheduler_internal.workers w
    where w.node_id = format('psql %s', pg_backend_pid()) and w.worker_id <> v_worker_id
      and w.stopped_at is not null;
end;
$$;

comment on function scheduler.run_sql_jobs(integer) is
    'Runs ready SQL jobs by hand, as the role scheduler_sql, in the caller''s transaction; one row '
    'for each';

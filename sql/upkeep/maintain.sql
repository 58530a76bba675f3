create or replace function scheduler.maintain()
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms'
as $$
-- Creates partitions seven days ahead, drops those past scheduler.history_retention (default 30
-- days; scheduler.audit_retention, default 365 days; of idempotency keys a day), prunes what
-- belongs to nothing any more, and sums up the rollups. Where such a setting is unusable its
-- retention is null: nothing is before that, so nothing is dropped, and health() says so.
-- Whoever lacks a partition waits for the commit of who has made it, and everybody for that of who
-- has dropped one. So whole days of history are read, to know whether they may go, before that; and
-- the tables come in the order in which finish() takes them.
-- Every ticker calls it each minute; one works, the others return at once, unless nobody has done
-- it for ten minutes: any login may take the lock and keep it, and two at it do no harm.
-- Where it would have to wait for longer than 200 ms (a client has made a partition and does not
-- commit, a long query reads one) it leaves that table for the next call; if that goes on, health()
-- tells that it runs out of days.
-- Locks: its advisory lock; the parents that lack a partition, SHARE UPDATE EXCLUSIVE; a dropped
-- partition's parent, exclusively, from there on.
declare
    v_now constant timestamptz := scheduler.now();
    v_today constant date := (v_now at time zone 'UTC')::date;
    v_history constant interval :=
        scheduler_internal.retention('history_retention', '30 days');
    v_audit constant interval :=
        scheduler_internal.retention('audit_retention', '365 days');
    v_over date[];
    v_before timestamptz;
    v_parent text;
begin
    if not pg_try_advisory_xact_lock(1885828201, -1)
       and exists (
           -- It stands ten minutes before the last call, see sum_totals().
           select from scheduler_internal.marks m
           where m.name = 'totals' and m.at > v_now - interval '20 minutes') then
        return;
    end if;
    perform scheduler_internal.sum_totals(v_now);  -- before a day of rollups is dropped
    v_over := scheduler_internal.expired_days('history', v_now - v_history);
    foreach v_parent in array
        '{skipped_fires,idempotency_keys,history,rollups,audit_log}'::text[]
    loop
        begin
            for v_ahead in 0..7 loop
                perform scheduler_internal.ensure_partition(v_parent, v_today + v_ahead);
            end loop;
        exception when lock_not_available then
            null;
        end;
        v_before := v_now - case v_parent when 'audit_log' then v_audit
                                          when 'idempotency_keys' then interval '1 day'
                                          else v_history end;
        perform scheduler_internal.drop_partitions(v_parent,
            case v_parent when 'history' then v_over
                          else scheduler_internal.expired_days(v_parent, v_before) end,
            v_before);
    end loop;
    perform scheduler_internal.drop_versions(v_now);
    delete from scheduler_internal.workers d
    where d.worker_id = any (array(
        select w.worker_id from scheduler_internal.workers w
        where coalesce(w.stopped_at, w.last_beat_at) < v_now - interval '1 day'
        for update skip locked));
    -- Those whose day is gone. Not by a join, which read all of the history, 1 us a row, where some
    -- thousands were retried that day; and whoever ends something would wait for that.
    delete from scheduler_internal.retried r
    where r.retried_at < v_now - v_history
      and to_regclass(to_char(scheduler_internal.id_time(r.execution_id) at time zone 'UTC',
                              '"scheduler_internal.history_"YYYYMMDD')) is null;
end;
$$;

comment on function scheduler.maintain() is
    'Creates partitions ahead, drops expired ones, prunes. Called every minute by the tickers';

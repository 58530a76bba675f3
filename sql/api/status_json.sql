create or replace function scheduler.status_json()
returns json
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
-- What /health says of tickers and workers: some index probes and a look at the workers of the last
-- day, however much waits. health() tells more, and costs more.
declare
    v_now constant timestamptz := scheduler.now();
    v_late double precision;
    v_seen double precision;
    v_workers record;
begin
    select greatest(0, extract(epoch from max(v_now - d.next_due_at))) into v_late
    from scheduler.due_shards() d;
    select greatest(0, extract(epoch from v_now - m.at)) into v_seen
    from scheduler_internal.marks m where m.name = 'ticker' and m.at is not null;
    select count(*) filter (where w.last_beat_at + w.lease > v_now and not w.draining) as active,
           count(*) filter (where w.last_beat_at + w.lease > v_now and w.draining) as draining,
           count(*) filter (where w.last_beat_at + w.lease <= v_now
                              and w.last_beat_at > v_now - interval '10 minutes') as silent
    into v_workers
    from scheduler_internal.workers w where w.stopped_at is null;
    return json_build_object(
        'ticker', json_build_object(
            -- Each ticker comes by twice a second, and that is noted every five.
            'status', case when v_late <= 30 and v_seen <= 15 then 'up' else 'down' end,
            'late_seconds', v_late, 'seen_seconds', v_seen),
        'workers', json_build_object(
            'status', case when v_workers.active > 0 then 'up' else 'down' end,
            'active', v_workers.active, 'draining', v_workers.draining,
            'silent', v_workers.silent));
end;
$$;

comment on function scheduler.status_json() is
    'Whether tickers and workers are at work, at little cost: for health checks that come often';

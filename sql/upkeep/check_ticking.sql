create or replace function scheduler_internal.check_ticking(at timestamptz)
returns table (check_name text, status text, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'ticker',
           case when count(*) = 0 then 'ok'
                when max(at - d.next_due_at) > interval '30 seconds' then 'fail' else 'warn' end,
           case when count(*) = 0 then 'no fire is late'
                else format('%s shards have late fires, the latest by %s', count(*),
                            justify_interval(max(at - d.next_due_at))) end,
           'Start a ticker (pgtick ticker), or see why it does not get on: its log names the error.'
    from scheduler.due_shards() d
    where d.next_due_at < at - interval '5 seconds'
$$;

comment on function scheduler_internal.check_ticking(timestamptz) is 'health(): are fires late?';

create or replace function scheduler_internal.check_ticking(at timestamptz)
returns table (check_name text, status text, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- Where nothing is due, all the same: without a ticker no dead worker's work is taken back, and
    -- no partition made. Each comes by twice a second, and that is noted every five.
    with late as (
        select count(*) as shards, max(at - d.next_due_at) as most
        from scheduler.due_shards() d
        where d.next_due_at < at - interval '5 seconds'
    ), seen as (
        select check_ticking.at - m.at > interval '15 seconds' as missed,
               check_ticking.at - m.at as ago
        from scheduler_internal.marks m
        where m.name = 'ticker'
    )
    select 'ticker',
           case when l.most > interval '30 seconds' then 'fail'
                when l.shards > 0 or s.missed is not false then 'warn' else 'ok' end,
           case when l.shards = 0 then 'no fire is late'
                else format('%s shards have late fires, the latest by %s', l.shards,
                            justify_interval(l.most)) end
               || case when s.missed is false then ''
                       when s.ago is null then ', but no ticker has ever come by'
                       else format(', %s no ticker has come by for %s',
                                   case when l.shards = 0 then 'but' else 'and' end,
                                   justify_interval(s.ago)) end,
           'Start a ticker (pgtick ticker), or see why it does not get on: its log names the error.'
    from late l
    left join seen s on true
$$;

comment on function scheduler_internal.check_ticking(timestamptz) is
    'health(): are fires late, and does a ticker come by?';

create or replace function scheduler_internal.session_holdings()
returns table (holding text, undo text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    -- What this session holds that no rollback takes from it, prepared statements and advisory
    -- locks, each with the statement that does; that returns a row for each time that a lock was
    -- held, and none for one that the commit will release.
    select concat_ws(' ', p.name, extract(epoch from p.prepare_time), p.statement),
           format('deallocate %I', p.name)
    from pg_prepared_statements p
    union all
    select concat_ws(' ', l.classid, l.objid, l.objsubid, l.mode),
           format('select where pg_advisory_unlock%s(%s)',
                  case l.mode when 'ShareLock' then '_shared' end,
                  case l.objsubid
                      when 1 then format('%L::bigint', l.classid::bigint << 32 | l.objid::bigint)
                      else format('%L::integer, %L::integer', l.classid::bigint << 32 >> 32,
                                  l.objid::bigint << 32 >> 32)
                  end)
    from pg_locks l
    where l.locktype = 'advisory' and l.pid = pg_backend_pid()
$$;

comment on function scheduler_internal.session_holdings() is
    'Prepared statements and advisory locks of this session, with the statements that undo them';

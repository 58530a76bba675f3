create or replace function scheduler_internal.drop_versions(at timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set work_mem = '64MB'
as $$
-- Drops superseded versions of jobs that nothing refers to: what was born under them lies, by the
-- time in its id, in days of the history that are gone, unless it still waits or runs. A day of
-- grace for who was making an execution, or had one triggered less than a day ahead, while the job
-- was changed.
-- One shard a call, the one whose minute it is, and at most 1,000: it reads all that waits there,
-- if there is anything to drop.
-- Locks: versions, SKIP LOCKED. Writes: job_versions.
declare
    v_shard constant integer := (extract(epoch from at)::bigint / 60) % 16;
    v_before timestamptz;
begin
    select min(to_date(right(c.relname, 8), 'YYYYMMDD'))::timestamp at time zone 'UTC'
               - interval '1 day'
    into v_before
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent in ('scheduler_internal.history'::regclass,
                          'scheduler_internal.skipped_fires'::regclass);
    if not exists (
           select from scheduler_internal.job_versions v
           where v.shard = v_shard and v.superseded and v.needed_until < v_before) then
        return;
    end if;
    delete from scheduler_internal.job_versions d
    where d.shard = v_shard and (d.job_id, d.version) in (
        select v.job_id, v.version
        from scheduler_internal.job_versions v
        where v.shard = v_shard and v.superseded and v.needed_until < v_before
          -- "is not true" keeps it a hashed set, if it fits into memory: a join might read all
          -- that waits for each version.
          and ((v.job_id, v.version) in (
                  select w.job_id, w.job_version from scheduler_internal.waiting w
                  where w.shard = v_shard and w.job_id is not null
                  union all
                  select r.job_id, r.job_version from scheduler_internal.running r
                  where r.shard = v_shard and r.job_id is not null)) is not true
        limit 1000
        for update of v skip locked);
end;
$$;

comment on function scheduler_internal.drop_versions(timestamptz) is
    'Drops versions of jobs that nothing refers to any more';

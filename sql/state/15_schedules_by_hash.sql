-- A schedule is found by its job in a hash index. A fire cannot be a HOT update, because
-- next_fire_at is in an index: so it writes an entry into each index of its row. A B-tree by job,
-- whose full pages are searched for dead entries and which looks for a second row of the job, took
-- a seventh of a fire more. One row a job, as before: write_version() alone inserts one, for a job
-- that it has just made or that its caller has locked.
--
-- Made in the migration's one transaction, which keeps ticks and changes of jobs out until it
-- commits (of that 1 s for a million schedules).
--
-- Who publishes all tables, for logical replication, needs something to tell rows apart by: each
-- fire is then logged with its old row (wal_level = logical only).
do $$
begin
    for v_shard in 0..15 loop
        execute pg_catalog.format(
            'alter table scheduler_internal.schedules_%1$s drop constraint schedules_%1$s_pkey;
             create index schedules_%1$s_job_id_idx
                 on scheduler_internal.schedules_%1$s using hash (job_id);
             alter table scheduler_internal.schedules_%1$s replica identity full', v_shard);
    end loop;
end $$;

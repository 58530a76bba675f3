-- Two indexes of rows that are rare: they cost the others nothing, neither time nor WAL. Both are
-- made in the migration's one transaction, which holds up writers of the tables meanwhile.

-- What went wrong is asked for at night, among millions that went well.
-- squawk-ignore require-concurrent-index-creation
create index history_status_execution_id_idx
    on scheduler_internal.history (status, execution_id)
    where final and status <> 'succeeded';

-- finish() asks of every batch whether there is one.
do $$
begin
    for v_shard in 0..15 loop
        execute pg_catalog.format(
            'create index running_%1$s_exclusive_idx
                 on scheduler_internal.running_%1$s (execution_id) where exclusive', v_shard);
    end loop;
end $$;

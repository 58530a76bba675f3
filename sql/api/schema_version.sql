create or replace function scheduler.schema_version(
    out digest text,
    out releases text[]
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    -- Everything that a migration applied, in one value: the revision of the tables, and the text
    -- of each function, view and grant. migrations/repeatable.py makes the same of
    -- its own files.
    select encode(sha256(convert_to(
               (select v.version_num from scheduler_internal.alembic_version v) || E'\n'
               || coalesce(string_agg(r.path || ' ' || r.checksum, E'\n' order by r.path collate "C"),
                           ''), 'UTF8')), 'hex'),
           coalesce(array_agg(distinct r.release) filter (where r.release is not null), '{}')
    from scheduler_internal.repeatables r
$$;

comment on function scheduler.schema_version() is
    'What this database was migrated to: a digest of everything that was applied, and by which '
    'releases of pgtick';

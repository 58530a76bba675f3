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
    -- of each function, view and grant. migrations/repeatable.py makes the same of its own files.
    with applied as (
        select (select v.version_num from scheduler_internal.alembic_version v) as line, '' as path
        union all
        select r.path || ' ' || r.checksum, r.path from scheduler_internal.repeatables r
    )
    select encode(sha256(convert_to(string_agg(a.line, E'\n' order by a.path collate "C"), 'UTF8')),
                  'hex'),
           array(select distinct r.release from scheduler_internal.repeatables r
                 where r.release is not null)
    from applied a
$$;

comment on function scheduler.schema_version() is
    'What this database was migrated to: a digest of everything that was applied, and by which '
    'releases of pgtick';

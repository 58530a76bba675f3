create or replace function scheduler_internal.find_jobs(
    name_prefix text,
    job_type text,
    queue text,
    tag text,
    paused boolean,
    from_name text,
    max_rows integer,
    out job_ids uuid[],
    out next_name text
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
-- The first jobs by name, from one name on (included), that match, and the name with which the next
-- page begins; null when nothing is left. Looks at 20,000 jobs at most: 150 ms.
declare
    v_window constant integer := 20000;
    v_from constant text := greatest(from_name collate "C", name_prefix);
    -- No name has more than 200 characters: the last, by its bytes, that begins so. starts_with()
    -- would be asked of all names that follow: 40 ms of 100,000.
    v_to constant text := coalesce(name_prefix, '') || repeat(
        convert_from(case getdatabaseencoding() when 'UTF8' then '\xf48fbfbf'::bytea
                                                else '\xff' end, getdatabaseencoding()), 200);
begin
    job_ids := array(
        select n.job_id
        from (
            select n.name, n.job_id
            from scheduler_internal.job_names n
            where n.name collate "C" between v_from and v_to
            order by n.name collate "C"
            limit v_window
        ) n
        where exists (
            select from scheduler_internal.jobs j
            join scheduler_internal.job_versions v
              on v.shard = j.shard and v.job_id = j.job_id and v.version = j.version
            where j.shard = scheduler.get_shard_id(n.job_id) and j.job_id = n.job_id
              and (paused is null or (j.paused_at is not null) = paused)
              and (find_jobs.job_type is null or (v.definition).job_type = find_jobs.job_type)
              and (find_jobs.queue is null or (v.definition).queue = find_jobs.queue)
              and (tag is null or (v.definition).tags @> array[tag]))
        order by n.name collate "C"
        limit max_rows + 1);
    if cardinality(job_ids) > max_rows then
        select j.name into next_name from scheduler_internal.jobs j
        where j.shard = scheduler.get_shard_id(job_ids[max_rows + 1])
          and j.job_id = job_ids[max_rows + 1];
        job_ids := job_ids[:max_rows];
    else
        select n.name into next_name
        from scheduler_internal.job_names n
        where n.name collate "C" between v_from and v_to
        order by n.name collate "C"
        offset v_window
        limit 1;
    end if;
end;
$$;

comment on function scheduler_internal.find_jobs(
    text, text, text, text, boolean, text, integer) is
    'The ids of a page of list_jobs(), and where the next one begins';

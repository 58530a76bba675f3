create or replace function scheduler.preview_job_json(
    job_id uuid,
    n integer default 5,
    after timestamptz default null
)
returns json
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set plan_cache_mode = force_custom_plan
as $$
-- The next n instants of a job's schedule, as if it were neither paused nor broken: within its
-- starts_at and ends_at. Null when there is no such job; without a schedule there are none.
-- Raises: 22023 for a wrong number or time.
declare
    v_version scheduler_internal.job_versions;
    v_definition scheduler_internal.job_definition;
    v_at timestamptz := coalesce(after, scheduler.now());
    v_fires timestamptz[] := '{}'::timestamptz[];
begin
    perform scheduler_internal.check_preview(n, v_at);
    select v.* into v_version
    from scheduler_internal.jobs j
    join scheduler_internal.job_versions v
      on v.shard = j.shard and v.job_id = j.job_id and v.version = j.version
    where j.shard = scheduler.get_shard_id(preview_job_json.job_id)
      and j.job_id = preview_job_json.job_id;
    if not found then
        return null;
    end if;
    v_definition := v_version.definition;
    if v_definition.schedule is not null then
        v_at := greatest(v_at, v_definition.starts_at - interval '1 microsecond');
        for i in 1..n loop
            v_at := scheduler_internal.next_instant(
                v_version.spec, v_definition.timezone, v_at);
            exit when v_at is null or v_at > v_definition.ends_at;
            v_fires := v_fires || v_at;
        end loop;
    end if;
    return json_build_object('fires', v_fires, 'description', case
        -- By its stored step: what an older release took as one may be refused by now.
        when (v_version.spec).step is not null then
            scheduler_internal.describe_every(
                btrim(v_definition.schedule, E' \t'), (v_version.spec).step)
        when v_definition.schedule is not null then scheduler.describe(v_definition.schedule) end);
end;
$$;

comment on function scheduler.preview_job_json(uuid, integer, timestamptz) is
    'What a job''s schedule means, as preview_json(); null when there is no such job';

create or replace function scheduler_internal.check_shard(shard integer)
returns integer
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
-- Raises: 22023 for a shard that does not exist.
begin
    if shard is null or shard not between 0 and 15 then
        perform scheduler_internal.refuse(
            format('shard %s does not exist', coalesce(shard::text, 'null')), 'Shards are 0 to 15.',
            'scheduler.get_shard_id(id) tells the shard of a job or an execution.');
    end if;
    return shard;
end;
$$;

comment on function scheduler_internal.check_shard(integer) is
    'Refuses a shard that does not exist';

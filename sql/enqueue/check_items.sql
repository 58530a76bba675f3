create or replace function scheduler_internal.check_items(items jsonb)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
-- Raises: 22023 (or what a cast raises) for the first wrong item of enqueue_many, its position in
-- the DETAIL. Items that differ only in their payload, as nearly all do, are checked once: most of
-- a call's time would go here otherwise.
declare
    v_item record;
    v_unknown text;
    v_message text;
    v_detail text;
    v_hint text;
begin
    if jsonb_typeof(items) is distinct from 'array' or jsonb_array_length(items) > 10000 then
        perform scheduler_internal.refuse(
            'items must be an array of at most 10,000 objects',
            case when jsonb_typeof(items) = 'array'
                 then format('It has %s elements.', jsonb_array_length(items))
                 else format('It is %s.', coalesce('a JSON ' || jsonb_typeof(items), 'null')) end,
            'Write ''[{"job_type": "sql", "target": {"statement": "…"}}, …]''; '
            'split larger batches.');
    end if;
    for v_item in
        select min(e.position) as position,
               case when jsonb_typeof(e.item) = 'object' then e.item - 'payload'
                    else e.item end as item
        from jsonb_array_elements(items) with ordinality e(item, position)
        group by 2
        order by 1
    loop
        begin
            if jsonb_typeof(v_item.item) <> 'object' then
                perform scheduler_internal.refuse('an item must be an object', 'It is a JSON '
                    || jsonb_typeof(v_item.item) || '.', 'Write {"job_type": …, "target": …}.');
            end if;
            select k into v_unknown from jsonb_object_keys(v_item.item) k
            where k not in ('job_type', 'target', 'queue', 'priority', 'run_at', 'dedup_key',
                            'max_attempts', 'backoff', 'backoff_base', 'backoff_max', 'timeout',
                            'expires_after', 'traceparent')
            limit 1;
            if found then
                perform scheduler_internal.refuse(format('unknown key %L', v_unknown),
                    'The keys are the arguments of scheduler.enqueue.',
                    'Correct or remove the key.');
            end if;
            perform scheduler_internal.check_document('the target',
                        scheduler_internal.check_target(i.job_type, i.target)),
                    scheduler_internal.check_policy(
                        coalesce(i.queue, 'default'), coalesce(i.priority, 0),
                        coalesce(i.max_attempts, 3), coalesce(i.backoff, 'exponential'),
                        coalesce(i.backoff_base, '10 seconds'), coalesce(i.backoff_max, '1 hour'),
                        coalesce(i.timeout, '1 hour'), i.expires_after),
                    scheduler_internal.check_traceparent(i.traceparent),
                    scheduler_internal.check_dedup_key(i.dedup_key),
                    scheduler_internal.check_run_at(i.run_at, i.run_at)
            from scheduler_internal.read_items(jsonb_build_array(v_item.item)) i;
        exception when data_exception then
            get stacked diagnostics v_message = message_text, v_detail = pg_exception_detail,
                v_hint = pg_exception_hint;
            raise exception using errcode = sqlstate, message = v_message,
                detail = btrim(format('Item %s. %s', v_item.position, v_detail)),
                hint = coalesce(nullif(v_hint, ''),
                                'Write it as an argument of scheduler.enqueue.');
        end;
    end loop;
    -- Payloads: nearly all are too small to be wrong.
    perform scheduler_internal.check_document(format('the payload of item %s', e.position),
                                              e.item -> 'payload')
    from jsonb_array_elements(items) with ordinality e(item, position)
    where pg_column_size(e.item -> 'payload') >= 130;
end;
$$;

comment on function scheduler_internal.check_items(jsonb) is
    'Refuses the first wrong item of enqueue_many';

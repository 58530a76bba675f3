create or replace function scheduler_internal.check_items(items jsonb)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
-- Raises: 22023 (or what a cast raises) for the first wrong item of enqueue_many, and names it:
-- items[0].queue. Items that differ only in their payload or dedup_key, as nearly all do, are
-- checked once, and payloads all at once, but those that are too small to be wrong: most of a
-- call's time would go here otherwise.
declare
    v_item record;
    v_unknown text;
    v_message text;
    v_detail text;
    v_hint text;
    v_argument text;
    v_wrong_payload boolean := false;
begin
    if jsonb_typeof(items) is distinct from 'array' or jsonb_array_length(items) > 10000 then
        perform scheduler_internal.refuse(
            'items must be an array of at most 10,000 objects',
            case when jsonb_typeof(items) = 'array'
                 then format('It has %s elements.', jsonb_array_length(items))
                 else format('It is %s.', coalesce('a JSON ' || jsonb_typeof(items), 'null')) end,
            'Write ''[{"job_type": "sql", "target": {"statement": "…"}}, …]''; '
            'split larger batches.', argument => 'items');
    end if;
    begin
        perform scheduler_internal.check_document('payload', e.item -> 'payload')
        from jsonb_array_elements(items) e(item)
        where scheduler_internal.may_be_too_much(e.item -> 'payload');
    exception when data_exception then
        v_wrong_payload := true;  -- which one, they are asked one by one
    end;
    for v_item in
        select min(e.position) - 1 as index,
               case when jsonb_typeof(e.item) <> 'object' then e.item
                    when length(e.item ->> 'dedup_key') between 1 and 500
                    then e.item - '{payload,dedup_key}'::text[]
                    else e.item - 'payload' end as item, null::jsonb as payload
        from jsonb_array_elements(items) with ordinality e(item, position)
        -- To jsonb 1.0 is 1, to an integer it is not.
        group by 2, e.item ->> 'priority', e.item ->> 'max_attempts'
        union all
        select e.position - 1, null, e.item -> 'payload'
        from jsonb_array_elements(items) with ordinality e(item, position)
        where v_wrong_payload and scheduler_internal.may_be_too_much(e.item -> 'payload')
        order by index
    loop
        begin
            perform scheduler_internal.check_document('payload', v_item.payload);
            continue when v_item.item is null;
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
                    'Correct or remove the key.', argument => v_unknown);
            end if;
            perform scheduler_internal.check_document('target',
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
        exception when data_exception or insufficient_privilege then
            get stacked diagnostics v_message = message_text, v_detail = pg_exception_detail,
                v_hint = pg_exception_hint, v_argument = column_name;
            if sqlstate = any ('{22P02,22003}') and v_argument = '' then  -- of a cast to integer
                v_argument := case when v_item.item ->> 'priority' !~ '^[+-]?[0-9]{1,9}$'
                                   then 'priority' else 'max_attempts' end;
            end if;
            v_argument := concat_ws('.', format('items[%s]', v_item.index), nullif(v_argument, ''));
            raise exception using errcode = sqlstate, message = v_message, column = v_argument,
                detail = btrim(format('At %s. %s', v_argument, v_detail)),
                hint = coalesce(nullif(v_hint, ''),
                                'Write it as an argument of scheduler.enqueue.');
        end;
    end loop;
end;
$$;

comment on function scheduler_internal.check_items(jsonb) is
    'Refuses the first wrong item of enqueue_many';

create or replace function scheduler_internal.check_target(job_type text, target jsonb)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
-- Returns the target as a document: a JSON string is short for its first key. A query takes 10 us
-- here, so that only what is rare asks one: headers, env, what is wrong.
-- Raises: 22023 for an unknown job type, a missing or unknown key, a value of the wrong kind; 42501
-- where the API key at hand may not make such a job.
declare
    v_keys constant text[] := scheduler_internal.target_keys(job_type);
    v_main constant text := v_keys[1];
    v_target jsonb := target;
    v_key text;
begin
    if v_keys is null then
        perform scheduler_internal.refuse(
            format('unknown job type %L', job_type), 'A worker could never run it.',
            'Use sql, http, python or command.', argument => 'job_type');
    end if;
    perform scheduler_internal.check_scopes(job_type);
    if jsonb_typeof(v_target) = 'string' then
        v_target := jsonb_build_object(v_main, v_target);
    end if;
    if v_target is null or jsonb_typeof(v_target) <> 'object' then
        perform scheduler_internal.refuse(
            format('a %s job needs a target', job_type),
            format('It is %s.', coalesce('a JSON ' || jsonb_typeof(v_target), 'null')),
            format('Write target => ''{"%s": "…"}''.', v_main), argument => 'target');
    end if;
    if v_target - v_keys <> '{}' then
        select min(k) into v_key from jsonb_object_keys(v_target - v_keys) k;
        perform scheduler_internal.refuse(
            format('unknown key %L in the target of a %s job', v_key, job_type),
            format('It knows %s.', array_to_string(v_keys, ', ')), 'Correct or remove the key.',
            argument => 'target');
    end if;
    if job_type = 'command' and v_target ? 'args' then
        if v_target ? 'shell' then
            perform scheduler_internal.refuse(
                'a command has either "shell" or "args"', 'Both are given.', 'Remove one of them.',
                argument => 'target');
        end if;
        if jsonb_typeof(v_target -> 'args') <> 'array' or jsonb_array_length(v_target -> 'args') = 0
           or exists (select from jsonb_array_elements(v_target -> 'args') a
                      where jsonb_typeof(a) <> 'string') then
            perform scheduler_internal.refuse(
                '"args" of a command must be a list of strings', 'The first is the program.',
                'Write {"args": ["program", "argument"]}.', argument => 'target');
        end if;
    elsif coalesce(jsonb_typeof(v_target -> v_main), '') <> 'string'
          or btrim(v_target ->> v_main) = '' then
        perform scheduler_internal.refuse(
            format('the target of a %s job needs "%s"', job_type, v_main),
            'It is missing, empty or not a string.',
            format('Write target => ''{"%s": "…"}''.', v_main), argument => 'target');
    end if;
    if job_type = 'http' then
        if v_target ->> 'url' !~* '^https?://[^[:space:]/]+' then
            perform scheduler_internal.refuse(
                format('not an http address: %L', left(v_target ->> 'url', 200)),
                'Only http and https addresses can be called.', 'Write https://host/path.',
                argument => 'target');
        end if;
        if coalesce(v_target ->> 'method', 'POST')
           !~ '^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)$' then
            perform scheduler_internal.refuse(
                format('unknown method %L', v_target ->> 'method'),
                'Methods are written in capitals.',
                'Use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS.', argument => 'target');
        end if;
    end if;
    foreach v_key in array array['headers', 'env'] loop
        continue when not v_target ? v_key;
        if jsonb_typeof(v_target -> v_key) <> 'object' or exists (
               select from jsonb_each(v_target -> v_key) e
               where jsonb_typeof(e.value) <> 'string') then
            perform scheduler_internal.refuse(
                format('"%s" must be an object of strings', v_key), 'Names to values.',
                format('Write {"%s": {"NAME": "value"}}.', v_key), argument => 'target');
        end if;
    end loop;
    foreach v_key in array array['stdin', 'cwd'] loop
        if v_target ? v_key and jsonb_typeof(v_target -> v_key) <> 'string' then
            perform scheduler_internal.refuse(
                format('"%s" must be a string', v_key),
                format('It is a JSON %s.', jsonb_typeof(v_target -> v_key)), 'Put it in quotes.',
                argument => 'target');
        end if;
    end loop;
    return v_target;
end;
$$;

comment on function scheduler_internal.check_target(text, jsonb) is
    'The target of a job type as a document, or an error that names what is wrong with it';

create or replace function scheduler_internal.default_policy()
returns scheduler_internal.execution_policy
language sql
immutable
parallel safe
as $$
    -- The defaults of enqueue() and create_job(); a test compares them.
    select row(3, 'exponential', interval '10 seconds', interval '1 hour', interval '1 hour')
           ::scheduler_internal.execution_policy
$$;

comment on function scheduler_internal.default_policy() is
    'How an execution is retried and bounded unless said otherwise';

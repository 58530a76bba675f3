create or replace function scheduler_internal.policy_of(
    policy scheduler_internal.execution_policy,
    definition scheduler_internal.job_definition
)
returns scheduler_internal.execution_policy
language sql
immutable
parallel safe
as $$
    select case
        when policy is distinct from null then policy
        when definition is distinct from null then
            row((definition).max_attempts, (definition).backoff, (definition).backoff_base,
                (definition).backoff_max, (definition).timeout)::scheduler_internal.execution_policy
        else scheduler_internal.default_policy()
    end
$$;

comment on function scheduler_internal.policy_of(
    scheduler_internal.execution_policy, scheduler_internal.job_definition) is
    'The policy of an execution: its own, else that of its job''s version, else the default';

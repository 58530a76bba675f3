-- Without SET, so that it is inlined.
create or replace function scheduler_internal.is_sweep_due(next_at timestamptz)
returns boolean
language sql
volatile
as $$
    -- It is never written further ahead: so the clock has stepped back since, and nothing would be
    -- looked for until it has come to where it was.
    select next_at <= clock_timestamp() or next_at > clock_timestamp() + interval '10 seconds'
$$;

comment on function scheduler_internal.is_sweep_due(timestamptz) is
    'Whether a claim is to look at all that waits in a shard of which claim_sweeps says this';

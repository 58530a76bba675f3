-- Without SET and no stricter than what it calls, so that it is inlined.
create or replace function scheduler_internal.walked(shard integer)
returns bigint
language sql
volatile
as $$
    select pg_stat_get_xact_tuples_returned(
        to_regclass('scheduler_internal.waiting_' || shard || '_queue_rank_run_at_idx'))
$$;

comment on function scheduler_internal.walked(integer) is
    'How many entries of the index that claims walk this transaction has read in a shard, those of '
    'dead rows too';

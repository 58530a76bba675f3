-- From here on the transaction creates everything as scheduler_owner, whoever runs it.
do $$
declare
    v_change text;
begin
    if pg_catalog.to_regclass('scheduler_internal.repeatables') is null then
        execute pg_catalog.format('grant create on database %I to scheduler_owner', current_database());
    end if;
    begin
        set local role scheduler_owner;
    exception when insufficient_privilege then
        -- Since PostgreSQL 16 who creates a role may grant it, yet is no member of it by that.
        execute pg_catalog.format('grant scheduler_owner to %I', current_user);
    end;
    reset role;
    -- The schemas of a first installation; and of a dump that was loaded without its owners, or where
    -- their roles were not there, everything that belongs to who loaded it; what somebody else has
    -- put beside it is left alone.
    for v_change in
        with ours as (
            select n.oid, n.nspname, n.nspowner
            from pg_catalog.pg_namespace n
            where n.nspname in ('scheduler', 'scheduler_internal')
        ), loader as (
            select c.relowner
            from pg_catalog.pg_class c
            where c.oid = pg_catalog.to_regclass('scheduler_internal.repeatables')
                and c.relowner <> 'scheduler_owner'::pg_catalog.regrole
        )
        select pg_catalog.format('schema %I', n.nspname)
        from ours n
        where n.nspowner <> 'scheduler_owner'::pg_catalog.regrole
        union all
        select pg_catalog.format('table %I.%I', n.nspname, c.relname)  -- or view
        from ours n
        join pg_catalog.pg_class c on c.relnamespace = n.oid
        join loader l on l.relowner = c.relowner
        where c.relkind in ('r', 'p', 'v')
        union all
        select pg_catalog.format('type %I.%I', n.nspname, c.relname)
        from ours n
        join pg_catalog.pg_class c on c.relnamespace = n.oid
        join loader l on l.relowner = c.relowner
        where c.relkind = 'c'
        union all
        select pg_catalog.format('function %s', p.oid::pg_catalog.regprocedure)
        from ours n
        join pg_catalog.pg_proc p on p.pronamespace = n.oid
        join loader l on l.relowner = p.proowner
        where p.prokind = 'f'  -- procedures and aggregates are none of ours
    loop
        execute pg_catalog.format('alter %s owner to scheduler_owner', v_change);
    end loop;
    if found and pg_catalog.to_regclass('scheduler_internal.repeatables') is not null then
        delete from scheduler_internal.repeatables;  -- so that all rights are given again
    end if;
end $$;
set local role scheduler_owner;

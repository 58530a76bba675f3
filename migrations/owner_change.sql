-- From here on the transaction creates everything as scheduler_owner, whoever runs it.
do $$
declare
    v_schema text;
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
    for v_schema in
        select n.nspname
        from pg_catalog.pg_namespace n
        where n.nspname in ('scheduler', 'scheduler_internal')
            and n.nspowner <> 'scheduler_owner'::pg_catalog.regrole
    loop
        execute pg_catalog.format('alter schema %I owner to scheduler_owner', v_schema);
    end loop;
end $$;
set local role scheduler_owner;

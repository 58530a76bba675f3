create or replace view scheduler.audit_log as
select a.at, a.audit_id, a.actor, a.action, a.object_id, a.object_name, a.detail, a.request_id,
       a.api_key
from scheduler_internal.audit_log a;

comment on view scheduler.audit_log is
    'Who changed what, and when. actor: the database login; api_key: the key, where it came '
    'through the REST API';

update history h
set finished_at = now(), status = 'succeeded', result = '{"done": true}'
where h.shard = 3 and h.execution_id = any (%(ids)s) and h.attempt = 1 and h.status = 'running'

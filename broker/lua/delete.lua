-- DELETE: removes a job that has ended.
--
-- Writes rq:job:<id>, mg:log:<id>, its index, rq:canceled:<q>, its webhooks (mg-events:of:<id>, mg-events:delivery:<delivery>, mg-events:waiting and the turns), and, if only stock RQ has
--   cancelled it, mg:idempotency:<owner>:<hash>.
-- ARGV: id.
-- Returns 'deleted' (also if there is none: repeating is harmless) or 'running' (it has not ended, and stays).
local id = ARGV[1]
allow_when_full()
local job = read(id)
if not job then return 'deleted' end
if job.status == 'queued' or job.status == 'started' then return 'running' end
if job.idempotency then keep_record(job, kind_of(job.q), job.status) end
forget(id, job.q, job.status)
call('ZREM', 'rq:canceled:' .. job.q, id)
for _, delivery in ipairs(call('SMEMBERS', 'mg-events:of:' .. id)) do drop_delivery(delivery) end
call('DEL', job.key, 'mg:log:' .. id, 'mg-events:of:' .. id)
return 'deleted'

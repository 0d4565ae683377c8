-- DELETE: removes a job that has ended.
--
-- Writes rq:job:<id>, rq:results:<id>, mg:log:<id>, rq:finished|failed|canceled:<q>.
-- ARGV: id.
-- Returns 'deleted' (also if there is none: repeating is harmless) or 'running' (it has not ended, and stays).
local id = ARGV[1]
allow_when_full()
local job = read(id)
if not job then return 'deleted' end
if job.status == 'queued' or job.status == 'started' then return 'running' end
for _, registry in ipairs({ 'finished', 'failed', 'canceled' }) do
  call('ZREM', 'rq:' .. registry .. ':' .. job.q, id)
end
call('DEL', job.key, 'rq:results:' .. id, 'mg:log:' .. id)
return 'deleted'

-- BEGIN: a process takes the next job of a queue, whether ENQUEUE or stock RQ put it there, and then owns it. Owners take
-- turns.
--
-- Reads mg:lease:<inc>. Writes rq:queue:<q>, rq:job:<id>, mg:held:<inc>, rq:wip:<q>, rq:worker:<inc>,
-- the deadlines and the bell of q; for a job past its deadline also the keys of EXPIRE.
-- ARGV: inc, q, then the ids of the jobs that the process knows it owns.
-- Returns {id, data, deaths, bytes that its log has had, signature, ids of the request}, or {} if no job waits; the
-- error FENCED without a lease. A job that it owns without knowing is returned again: the reply was lost.
local inc, q = ARGV[1], ARGV[2]
local list, held = 'rq:queue:' .. q, 'mg:held:' .. inc
allow_when_full()
if call('EXISTS', 'mg:lease:' .. inc) == 0 then return redis.error_reply('FENCED ' .. inc .. ' has no lease') end

local function answer(id)
  local f = fields_of(id, 'data', 'deaths', 'log_start', 'signature', 'request')
  local log_bytes = kind_of(q).logged and (whole(f[3]) or 0) + call('STRLEN', 'mg:log:' .. id) or 0
  return { id, f[1] or '', whole(f[2]) or 0, log_bytes, f[4] or '', f[5] or '' }
end

local known = {}
for i = 3, #ARGV do known[ARGV[i]] = true end
for _, id in ipairs(call('ZRANGE', held, 0, -1)) do
  local job = read(id)
  if job and job.status == 'started' and job.holder == inc then
    if not known[id] then return answer(id) end
  else -- it was cancelled
    call('ZREM', held, id)
    call('ZREM', 'rq:wip:' .. q, id .. ':' .. inc)
  end
end

take_turns(q)
local id = call('LPOP', list)
while id do
  local job = read(id)
  if job and job.status == 'queued' and job.deadline and not job.started and job.deadline <= now_ms() then
    expire(job)
  elseif job and job.status == 'queued' then -- otherwise stock RQ cancelled it, or queued it twice
    if job.started then revive(id, q) elseif job.deadline then call('ZREM', kind_of(q).deadlines, id) end
    call('HDEL', job.key, 'progress')
    call('HSET', job.key, 'status', 'started', 'started_at', stamp(), 'worker_name', inc)
    call('ZADD', held, 1, id)
    call('ZADD', 'rq:wip:' .. q, '+inf', id .. ':' .. inc)
    call('HSET', 'rq:worker:' .. inc, 'state', 'busy')
    settle(q, 0)
    close()
    return answer(id)
  end
  id = call('LPOP', list)
end
settle(q, 0)
close()
return {}

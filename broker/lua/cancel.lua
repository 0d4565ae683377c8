-- CANCEL: a job that has not ended ends without a result; the outcome of its owner will be dropped.
--
-- Writes rq:queue:<q> or mg:held:<inc> and rq:wip:<q>, rq:job:<id>, its index and deadline;
-- mg:ready, mg:turn, mg:rows and the bells; publishes to the reply channels of the job.
-- ARGV: id, a token of this request (so that repeating it gives the same answer).
-- Returns 'canceled', 'final' (it had ended before) or 'unknown' (also for a job of another program).
local id, token = ARGV[1], ARGV[2]
allow_when_full()
local job = read(id)
local kind = job and kind_of(job.q)
if not job or not kind.readable or kind.pinned and not job.version then return 'unknown' end
if job.status == 'queued' then
  call('LREM', 'rq:queue:' .. job.q, 1, id)
  settle(job.q, -job.rows)
  if job.started then revive(id, job.q) end
elseif job.status == 'started' then
  call('ZREM', 'mg:held:' .. job.holder, id)
  call('ZREM', 'rq:wip:' .. job.q, id .. ':' .. job.holder)
else
  return call('HGET', job.key, 'canceled_by') == token and 'canceled' or 'final'
end
cancel(job, token)
close()
return 'canceled'

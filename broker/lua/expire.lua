-- EXPIRE: queued jobs whose deadline has passed end without a result.
--
-- Writes the deadlines, rq:queue:<q>, rq:job:<id>, the indexes; mg:ready, mg:turn, mg:rows and the bells; publishes to
-- the reply channels of the jobs.
-- ARGV: most jobs, the key of the deadlines.
-- Returns the number of deadlines that it looked at; if that is the most, there may be more.
allow_when_full()
local due = call('ZRANGEBYSCORE', ARGV[2], '-inf', now_ms(), 'LIMIT', 0, ARGV[1])
for _, id in ipairs(due) do
  local job = read(id)
  call('ZREM', ARGV[2], id)
  if job and job.status == 'queued' and not job.started then -- started: queued again by stock RQ
    call('LREM', 'rq:queue:' .. job.q, 1, id)
    settle(job.q, -job.rows)
    expire(job)
  end
end
close()
return #due

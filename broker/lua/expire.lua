-- EXPIRE: queued jobs whose deadline has passed end without a result.
--
-- Writes mg:deadlines or mg:deadlines:trainer, rq:queue:<q>, rq:job:<id>, rq:canceled:<q>; mg:ready, mg:turn, mg:rows and
-- the bells; publishes to the reply channels of the jobs.
-- ARGV: most jobs, mg:deadlines or mg:deadlines:trainer.
-- Answers how many deadlines it looked at: as many as it may means that there may be more.
allow_when_full()
local due = call('ZRANGEBYSCORE', ARGV[2], '-inf', now_ms(), 'LIMIT', 0, ARGV[1])
for _, id in ipairs(due) do
  local job = read(id)
  call('ZREM', ARGV[2], id)
  if job and job.status == 'queued' and not job.started then -- started: queued anew by stock RQ
    call('LREM', 'rq:queue:' .. job.q, 1, id)
    settle(job.q, -job.rows)
    expire(job)
  end
end
close()
return #due

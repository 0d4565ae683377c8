-- RELEASE: a scorer returns jobs or a task that it owns to the heads of their queues, for other scorers, without a death.
--
-- Writes mg:held:<inc>, rq:wip:<q>, rq:queue:<q>, rq:job:<id>, the deadlines, rq:worker:<inc>; of jobs mg:ready, mg:turn,
-- mg:rows and the bells; of a task rq:job:<file> (rows_done), mg:lane, mg:served:lane, mg:bell:lane; for jobs past their deadline also
-- the keys of FINISH.
-- ARGV: inc, ids, the oldest first.
-- Returns 1. Repeating is harmless.
local inc, rows = ARGV[1], {}
allow_when_full()
for i = #ARGV, 2, -1 do
  local job = read(ARGV[i])
  call('ZREM', 'mg:held:' .. inc, ARGV[i])
  if job and job.status == 'started' and job.holder == inc then
    call('ZREM', 'rq:wip:' .. job.q, job.id .. ':' .. inc)
    if job.deadline and job.deadline <= now_ms() then
      expire(job)
    else
      requeue(job)
      if not kind_of(job.q).task then rows[job.q] = (rows[job.q] or 0) + job.rows end
    end
  end
end
for q, added in pairs(rows) do settle(q, added) end
close()
return 1

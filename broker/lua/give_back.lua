-- GIVE_BACK: an incarnation ends, and its jobs return to the heads of their queues, in order.
--
-- Writes mg:held:<inc>, mg:lease:<inc>, the members, rq:worker:<inc>, rq:workers, rq:wip:<q>, rq:queue:<q>,
-- rq:job:<id>, the deadlines; mg:ready, mg:turn, mg:rows and the bells; for jobs that end here also the keys of FINISH.
-- ARGV: the key of the members, inc, the deaths at which a job fails, its failure (JSON); then the ids of the jobs that
--   were running, which count a death ('*': unknown, so all of them).
-- Returns {id, 'queued' | 'failed' | 'expired', id, …}; {} if it is repeated.
allow_when_full()
local scored = {}
for i = 5, #ARGV do scored[ARGV[i]] = true end
local answer = give_back(ARGV[1], ARGV[2], not scored['*'] and scored or nil, tonumber(ARGV[3]), ARGV[4])
close()
return answer

-- GIVE_BACK: the end of an incarnation; what it held is queued again, at the head and in order.
--
-- Writes mg:held:<inc>, mg:lease:<inc>, mg:incs or mg:trainers, rq:worker:<inc>, rq:workers, rq:wip:<q>,
-- rq:queue:<q>, rq:job:<id>, mg:deadlines; mg:ready, mg:turn, mg:rows and the bells; for jobs that end here what FINISH writes.
-- ARGV: mg:incs or mg:trainers, inc, deaths from which on a job fails, its failure (JSON), its exc_string; then the
--   ids that were being scored: only their deaths are counted. '*' instead: nobody knows which, and all count.
-- Answers {id, 'queued' | 'failed' | 'expired', id, …}; {} when it is repeated.
allow_when_full()
local scored = {}
for i = 6, #ARGV do scored[ARGV[i]] = true end
local answer = give_back(ARGV[1], ARGV[2], not scored['*'] and scored or nil, tonumber(ARGV[3]), ARGV[4], ARGV[5])
close()
return answer

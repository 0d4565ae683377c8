-- GIVE_BACK: an incarnation ends, and its jobs return to the heads of their queues, in order.
--
-- Writes mg:held:<inc>, mg:lease:<inc>, the members, rq:worker:<inc>, rq:workers, rq:wip:<q>, rq:queue:<q>,
-- rq:job:<id>, the deadlines; mg:ready, mg:turn, mg:rows and the bells; for jobs that end here also the keys of FINISH;
-- after a time-out mg:timeouts and mg:timeouts:<model>.
-- ARGV: the key of the members, inc, the deaths at which a job fails, its failure (JSON), ms for which a time-out is
--   remembered (0: it was none); then the ids of the jobs that were running, which count a death ('*': unknown, so all
--   of them).
-- Returns {id, 'queued' | 'failed' | 'expired', id, …}; {} if it is repeated.
local FIRST = 6
allow_when_full()
local scored = {}
local kept = tonumber(ARGV[5])

-- Remembers that the model of a running job took too long, and the rows if they were alone: those of a second time are
-- refused (SUBMIT).
local function remember(id)
  local model, f = call('HGET', 'rq:worker:' .. ARGV[2], 'model'), fields_of(id, 'origin', 'version', 'data')
  if not model then return end -- it is repeated
  call('ZADD', 'mg:timeouts', now_ms() + kept, model)
  local owned = call('ZSCORE', 'mg:held:' .. ARGV[2], id) -- it was not cancelled
  if #ARGV > FIRST or not owned or not f[1] or not kind_of(f[1]).batched then return end
  local key, rows = 'mg:timeouts:' .. model, hash_of(f[2] or '', f[3] or '')
  call('ZREMRANGEBYSCORE', key, '-inf', now_ms())
  if call('ZSCORE', key, rows) then call('ZADD', key, now_ms() + kept, '2:' .. rows) end
  call('ZADD', key, now_ms() + kept, rows)
  call('PEXPIRE', key, kept)
end

for i = FIRST, #ARGV do
  scored[ARGV[i]] = true
  if kept > 0 then remember(ARGV[i]) end
end
local answer = give_back(ARGV[1], ARGV[2], not scored['*'] and scored or nil, tonumber(ARGV[3]), ARGV[4])
close()
return answer

-- SPARE: a worker says which models it has found slow, and learns which scorer takes none of those that are slow
-- anywhere, so that they cannot occupy every scorer. It is one of the scorers that serve the same queues, the first that
-- does not have a slow model in hand. A scorer that a worker has only while all others hang does not count: it never takes
-- slow models.
--
-- Reads mg:incs, mg:lease:<inc>, mg:held:<inc>. Writes rq:worker:<inc>, mg:slow, mg:timeouts, and mg:slow:<queues>:
-- several scorers serve these queues, even if there is one while another is being replaced.
-- ARGV: queues as in rq:worker:<inc>, ms for which this report counts, number of the models that are slow, these; then
--   the scorers that have been at one step for long, whose models are slow, too. Their jobs may be cancelled and deleted.
-- Returns {inc ('': only one scorer serves these queues; '*': each one that begins, since all have slow models in hand),
-- slow model, slow model, …}, or {} if none is slow.
allow_when_full()
local queues, ms, count = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local slow, answer = {}, { '' }

for i = 4, #ARGV do
  local model = ARGV[i]
  if i >= 4 + count then
    local worker = 'rq:worker:' .. ARGV[i]
    model = call('HGET', worker, 'model')
    if model then call('HSET', worker, 'long_until', now_ms() + ms) end
  end
  if model then call('ZADD', 'mg:slow', now_ms() + ms, model) end
end
for _, key in ipairs({ 'mg:slow', 'mg:timeouts' }) do
  call('ZREMRANGEBYSCORE', key, '-inf', now_ms())
  for _, model in ipairs(call('ZRANGE', key, 0, -1)) do
    if not slow[model] then answer[#answer + 1] = model end
    slow[model] = true
  end
end
if #answer == 1 then return {} end

local incs, alive, spared = call('SMEMBERS', 'mg:incs'), {}, nil
table.sort(incs)
for _, inc in ipairs(incs) do
  local w = call('HMGET', 'rq:worker:' .. inc, 'queues', 'model', 'long_until')
  if w[1] == queues and not string.find(inc, '%-extra%-[^-]*$') and call('EXISTS', 'mg:lease:' .. inc) == 1 then
    local busy = call('EXISTS', 'mg:held:' .. inc) == 1 or tonumber(w[3] or '0') > now_ms()
    alive[#alive + 1] = inc
    if not spared and not (busy and slow[w[2]]) then spared = inc end
  end
end
if #alive > 1 then call('SET', 'mg:slow:' .. queues, '1', 'PX', ms) end
if call('EXISTS', 'mg:slow:' .. queues) == 1 then answer[1] = spared or '*' end
return answer

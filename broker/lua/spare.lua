-- SPARE: a worker says which models it has found slow, and learns which scorer takes none of those that are slow
-- anywhere, so that they cannot occupy every scorer. It is one of the scorers that serve the same queues, the first that
-- does not have a slow model in hand.
--
-- Reads mg:incs, mg:lease:<inc>, mg:held:<inc>, rq:worker:<inc>, rq:job:<id>. Writes mg:slow, mg:timeouts, and
-- mg:slow:<queues>: several scorers serve these queues, even if there is one while another is being replaced.
-- ARGV: queues as in rq:worker:<inc>, ms for which this report counts, number of the models that are slow, these; then
--   the ids of jobs that have been running for long, whose models are slow, too.
-- Returns {inc ('': only one scorer serves these queues), slow model, slow model, …}, or {} if none is slow.
allow_when_full()
local queues, ms, count = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local slow, answer = {}, { '' }

for i = 4, #ARGV do
  local model = i < 4 + count and ARGV[i] or model_of(ARGV[i])
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
  if call('HGET', 'rq:worker:' .. inc, 'queues') == queues and call('EXISTS', 'mg:lease:' .. inc) == 1 then
    local id = call('ZRANGE', 'mg:held:' .. inc, 0, 0)[1]
    alive[#alive + 1] = inc
    if not spared and not (id and slow[model_of(id)]) then spared = inc end
  end
end
if #alive > 1 then call('SET', 'mg:slow:' .. queues, '1', 'PX', ms) end
if call('EXISTS', 'mg:slow:' .. queues) == 1 then answer[1] = spared or alive[1] or '' end
return answer

-- WAITING_POOLS: returns which of some pools have work. Read-only.
--
-- Reads mg:ready<turns>, mg:lane, rq:job:<file>.
-- ARGV: the models that count (' loan iris ', or '' for all), then pools.
-- Returns those with jobs or files that wait.
local only, waiting, answer = ARGV[1], {}, {}

local function note(q, pool)
  if only == '' or string.find(only, ' ' .. model_of(q) .. ' ', 1, true) then waiting[pool] = true end
end

for _, file in ipairs(call('ZRANGE', 'mg:lane', 0, -1)) do
  local q = fields_of(file, 'origin')[1]
  if q then note(q, pool_of(q)) end
end
for i = 2, #ARGV do
  local pool = ARGV[i]
  for _, turns in ipairs(TURNS) do
    for _, q in ipairs(call('ZRANGE', 'mg:ready' .. turns .. pool, 0, -1)) do note(q, pool) end
  end
  if waiting[pool] then answer[#answer + 1] = pool end
end
return answer

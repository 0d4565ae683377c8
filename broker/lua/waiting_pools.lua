-- WAITING_POOLS: returns which of some pools have work. Read-only.
--
-- Reads mg:ready<pool>, mg:lane, rq:job:<file>.
-- ARGV: pools.
-- Returns those with jobs or files that wait.
local waiting, answer = {}, {}
for _, file in ipairs(call('ZRANGE', 'mg:lane', 0, -1)) do
  waiting[pool_of(fields_of(file, 'origin')[1] or '')] = true
end
for _, pool in ipairs(ARGV) do
  if waiting[pool] or call('EXISTS', 'mg:ready' .. pool) == 1 then answer[#answer + 1] = pool end
end
return answer

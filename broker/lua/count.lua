-- COUNT: adds what a process has counted to the counters of all processes.
--
-- Writes mg:counted:<process> (STRING), mg:counts:<part> (HASH) and mg:counts:model:<model> (HASH).
-- ARGV: process, the number of this call, which grows; then key, field, amount, key, field, amount, …
-- Returns 1; 0 if it is repeated, so that it counts nothing twice.
--
-- The counters of a model expire after a week without traffic, as do those of a deleted model.
allow_when_full()
if not is_new(ARGV[1], ARGV[2]) then return 0 end
local models = {}
for i = 3, #ARGV, 3 do
  call('HINCRBY', ARGV[i], ARGV[i + 1], ARGV[i + 2])
  if string.sub(ARGV[i], 1, 16) == 'mg:counts:model:' then models[ARGV[i]] = true end
end
for key in pairs(models) do call('EXPIRE', key, KEEP_COUNTERS) end
return 1

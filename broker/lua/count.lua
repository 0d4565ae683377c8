-- COUNT: adds what a process has counted to the counters of all processes.
--
-- Writes mg:counted:<process> (STRING), mg:counts:<part> (HASH) and mg:counts:model:<model> (HASH).
-- ARGV: process, the number of this call, which grows; then key, field, amount, key, field, amount, …
-- Returns 1; 0 if it is repeated, so that it counts nothing twice.
--
-- The counters of a model expire after a week without traffic, as do those of a deleted model. Beyond MOST_FIELDS, a refused
-- field counts as the field '' of its owner: requests choose which fields are refused.
local MOST_FIELDS = 500
allow_when_full()
if not is_new(ARGV[1], ARGV[2]) then return 0 end
local models = {}
for i = 3, #ARGV, 3 do
  local field, owner = ARGV[i + 1], string.match(ARGV[i + 1], '^refused_fields_total|.*|([^|]*)$')
  if owner and not call('HGET', ARGV[i], field) and call('HLEN', ARGV[i]) >= MOST_FIELDS then
    field = 'refused_fields_total||' .. owner
  end
  call('HINCRBY', ARGV[i], field, ARGV[i + 2])
  if string.sub(ARGV[i], 1, 16) == 'mg:counts:model:' then models[ARGV[i]] = true end
end
for key in pairs(models) do call('EXPIRE', key, KEEP_COUNTERS) end
return 1

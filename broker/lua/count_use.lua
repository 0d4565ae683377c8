-- COUNT_USE: adds what callers have asked of models to the hash of today.
--
-- Writes mg:counted:<process> (STRING) and mg-gateway:use:<day> (HASH).
-- ARGV: process, the number of this call, which grows; the most pairs of a day; then for each pair `<key>|<model>`,
--   requests, errors, rows, and the time of the last request (s).
-- Returns 1; 0 if it is repeated, so that it counts nothing twice.
--
-- Beyond the most pairs, a key has one sum for all other models, `<key>|`.
local FIRST, STEP = 4, 5
allow_when_full()
if not is_new(ARGV[1], ARGV[2]) then return 0 end
local day = 'mg-gateway:use:' .. floor(now() / 86400000000)
for i = FIRST, #ARGV, STEP do
  local pair = ARGV[i]
  local counted = call('HGET', day, pair)
  if not counted and call('HLEN', day) >= tonumber(ARGV[3]) then
    pair = string.match(pair, '^[^|]*|')
    counted = call('HGET', day, pair)
  end
  local requests, errors, rows, last = string.match(counted or '0 0 0 0', '(%d+) (%d+) (%d+) (%d+)')
  call('HSET', day, pair, string.format('%d %d %d %d', requests + ARGV[i + 1], errors + ARGV[i + 2],
    rows + ARGV[i + 3], math.max(tonumber(last), tonumber(ARGV[i + 4]))))
end
call('EXPIRE', day, KEEP_KEY_USE)
return 1

-- COUNT_FAILURES: adds the failed requests that a gateway process has counted.
--
-- Writes mg:counted:<process> (STRING), mg:failures:<model>:<hour> and mg-gateway:failures:<model> (HASHes).
-- ARGV: process, the number of this call, which grows; then for each entry model, hour (of Unix time), caller, entry,
--   amount, first and last time (s), cause, and an example of it, as JSON, or ''.
-- Returns 1; 0 if it is repeated, so that it counts nothing twice.
local EACH, MOST_EXAMPLES = 9, 50
allow_when_full()
if not is_new(ARGV[1], ARGV[2]) then return 0 end
for i = 3, #ARGV, EACH do
  local model, cause, example = ARGV[i], ARGV[i + 7], ARGV[i + 8]
  count_failures(model, ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6])
  local examples = 'mg-gateway:failures:' .. model
  if example ~= '' and not call('HGET', examples, cause) then
    if call('HLEN', examples) >= MOST_EXAMPLES then call('DEL', examples) end -- causes that go on bring new ones
    call('HSET', examples, cause, example)
    call('EXPIRE', examples, KEEP_FAILURES)
  end
end
return 1

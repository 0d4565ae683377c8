-- NOTE_KEY_USES: records when API keys were used last.
--
-- Writes mg-gateway:keys:used (HASH). Reads mg-gateway:keys.
-- ARGV: fingerprint, seconds, fingerprint, seconds, …
-- Returns the number of keys. Repeating is harmless: a time never moves back, and a removed key gets none.
local found = 0
allow_when_full()
for i = 1, #ARGV, 2 do
  if call('HGET', 'mg-gateway:keys', ARGV[i]) then
    found = found + 1
    local noted = whole(call('HGET', 'mg-gateway:keys:used', ARGV[i])) or 0
    if noted < tonumber(ARGV[i + 1]) then call('HSET', 'mg-gateway:keys:used', ARGV[i], ARGV[i + 1]) end
  end
end
return found

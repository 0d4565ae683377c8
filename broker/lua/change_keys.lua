-- CHANGE_KEYS: adds, replaces and removes API keys, if nobody has changed any since the caller read them.
--
-- Writes mg-gateway:keys, mg-gateway:keys:used (HASH), mg-gateway:keys:revision (INT), mg:idempotency:<owner>:<hash>.
-- ARGV: the revision that was read; the idempotency of the request (or ''), the seconds for which it is remembered, and
--   the id of the key that it makes; then for each entry its fingerprint and its JSON ('' removes it).
-- Returns syncing(), and 1; what `earlier` answers for the request; or 0 if the revision has changed meanwhile. Only with
--   1 the entries are written. Repeating is harmless: entries that already are as wanted count as written.
local FIRST = 5
local revision, idempotency, seconds, made = ARGV[1], ARGV[2], ARGV[3], 'key:' .. ARGV[4]

local function is_done()
  for i = FIRST, #ARGV, 2 do
    if (call('HGET', 'mg-gateway:keys', ARGV[i]) or '') ~= ARGV[i + 1] then return false end
  end
  return true
end

allow_when_full()
if is_done() then return { syncing(), 1 } end
local known = idempotency ~= '' and earlier('', idempotency)
if known then return { syncing(), known } end
if (call('GET', 'mg-gateway:keys:revision') or '0') ~= revision then return { syncing(), 0 } end
for i = FIRST, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    call('HDEL', 'mg-gateway:keys', ARGV[i])
    call('HDEL', 'mg-gateway:keys:used', ARGV[i])
  else
    call('HSET', 'mg-gateway:keys', ARGV[i], ARGV[i + 1])
  end
end
call('INCR', 'mg-gateway:keys:revision')
if idempotency ~= '' then remember(idempotency, made, seconds) end
return { syncing(), 1 }

-- CHANGE_WEBHOOKS: adds, replaces or removes one subscription.
--
-- Writes mg-gateway:webhooks (HASH name -> JSON), mg:webhooks:wanted (SET of the events that any subscription asks for).
-- ARGV: name, its JSON ('' removes it), the entry that the caller has read ('' for none), the most subscriptions.
-- Returns syncing(), and 1; 0 if there is another entry by now, -1 if there are too many. Repeating is harmless.
local name, entry, read, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local key = 'mg-gateway:webhooks'
local present = call('HGET', key, name) or ''
allow_when_full()
if present == entry then return { syncing(), 1 } end
if present ~= read then return { syncing(), 0 } end
if entry ~= '' and read == '' and call('HLEN', key) >= most then return { syncing(), -1 } end
if entry == '' then call('HDEL', key, name) else call('HSET', key, name, entry) end
call('DEL', 'mg:webhooks:wanted')
local entries_of = call('HGETALL', key)
for i = 2, #entries_of, 2 do
  local known, one = pcall(cjson.decode, entries_of[i])
  for _, event in ipairs(known and one.events or {}) do call('SADD', 'mg:webhooks:wanted', event) end
end
return { syncing(), 1 }

-- AUDIT: adds entries to the audit log and removes old ones.
--
-- Writes the streams and mg:audited:<call> (STRING).
-- ARGV: call (its id), ms that an entry is kept, bytes that a stream may take (and at most a twentieth of `maxmemory`);
--   the streams that are trimmed, with spaces between; then stream, entry (JSON), …
-- Returns syncing() and the number of younger entries that were removed because a stream was too large. Repeating a
-- call adds nothing.
local REMEMBERED = 10 -- seconds, more than a client takes to send a call again
local kept, most = ARGV[2], tonumber(ARGV[3])
local lost = 0
allow_when_full()
if call('SET', 'mg:audited:' .. ARGV[1], '1', 'NX', 'EX', REMEMBERED) then
  for i = 5, #ARGV, 2 do call('XADD', ARGV[i], '*', 'entry', ARGV[i + 1]) end
end
local maxmemory = tonumber(string.match(call('INFO', 'memory'), 'maxmemory:(%d+)') or '0')
if maxmemory > 0 then most = math.min(most, maxmemory / 20) end
for stream in string.gmatch(ARGV[4], '%S+') do
  local left = redis.pcall('XTRIM', stream, 'MINID', now_ms() - kept)
  -- The trainer can replace its own stream by another type.
  local size = type(left) == 'number' and call('MEMORY', 'USAGE', stream) or 0
  if size > most then -- removes a little more than needed, so that not every call has to
    lost = lost + call('XTRIM', stream, 'MAXLEN', floor(call('XLEN', stream) * most / size * 0.95))
  end
end
return { syncing(), lost }

-- OPEN_SESSION: opens a session of a browser, and closes the oldest of the same key beyond the most.
--
-- Writes mg-gateway:session:<hash>, mg-gateway:sessions:<fingerprint>.
-- ARGV: hash of the session's id, fingerprint of the key, seconds for which it lasts, most sessions of a key.
-- Returns 1. Repeating is harmless.
local session, fingerprint, seconds, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local opened = 'mg-gateway:sessions:' .. fingerprint
call('SET', 'mg-gateway:session:' .. session, fingerprint, 'EX', seconds)
call('LREM', opened, 0, session)
call('LPUSH', opened, session)
call('EXPIRE', opened, seconds)
while call('LLEN', opened) > most do
  call('DEL', 'mg-gateway:session:' .. call('RPOP', opened))
end
return 1

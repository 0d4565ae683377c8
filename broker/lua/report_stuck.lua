-- REPORT_STUCK: processes have made no progress for some seconds. Forgets what was reported more than a minute ago.
--
-- Writes mg:stuck (ZSET).
-- ARGV: a text for each process.
-- Returns 1.
local FORGOTTEN = 60
allow_when_full()
for _, process in ipairs(ARGV) do call('ZADD', 'mg:stuck', now_ms(), process) end
call('ZREMRANGEBYSCORE', 'mg:stuck', '-inf', now_ms() - FORGOTTEN * 1000)
call('ZREMRANGEBYSCORE', 'mg:stuck', '(' .. now_ms(), '+inf') -- from before the clock was set back
call('EXPIRE', 'mg:stuck', FORGOTTEN)
return 1

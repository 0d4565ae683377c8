-- REPORT_ALIVE: a process says that it is alive. Forgets those that have said nothing for a minute.
--
-- Writes ARGV[1] (ZSET), mg:gateways or mg-events:alive.
-- ARGV: key, name of the process.
-- Returns 1.
local FORGOTTEN = 60000
local key, name = ARGV[1], ARGV[2]
allow_when_full()
call('ZADD', key, now_ms(), name)
call('ZREMRANGEBYSCORE', key, '-inf', now_ms() - FORGOTTEN)
call('ZREMRANGEBYSCORE', key, '(' .. now_ms(), '+inf') -- from before the clock was set back
return 1

-- REPORT_GATEWAY: a gateway says that it is alive. Forgets gateways that have said nothing for a minute.
--
-- Writes mg:gateways (ZSET).
-- ARGV: gateway.
-- Returns 1.
local FORGOTTEN = 60000
allow_when_full()
call('ZADD', 'mg:gateways', now_ms(), ARGV[1])
call('ZREMRANGEBYSCORE', 'mg:gateways', '-inf', now_ms() - FORGOTTEN)
call('ZREMRANGEBYSCORE', 'mg:gateways', '(' .. now_ms(), '+inf') -- from before the clock was set back
return 1

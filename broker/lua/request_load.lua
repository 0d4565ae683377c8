-- REQUEST_LOAD: asks the workers to load a version, and to keep it for the given time.
--
-- Writes mg:wanted (ZSET "model@version<pool>" -> ms), which expires with its last entry.
-- ARGV: model@version<pool>, ms.
-- Returns 1.
allow_when_full()
call('ZREMRANGEBYSCORE', 'mg:wanted', '-inf', now_ms())
call('ZADD', 'mg:wanted', now_ms() + ARGV[2], ARGV[1])
call('PEXPIREAT', 'mg:wanted', call('ZREVRANGE', 'mg:wanted', 0, 0, 'WITHSCORES')[2])
return 1

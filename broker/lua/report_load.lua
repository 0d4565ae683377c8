-- REPORT: a worker says which versions its scorers have; it counts as alive for so long.
--
-- Writes mg:workers (SET), mg:loaded:<worker> (STRING).
-- ARGV: worker, ms, report (JSON; '' for the same as before).
-- Answers 1; 0 when what it said before is gone: it has to say all of it.
allow_when_full()
local key = 'mg:loaded:' .. ARGV[1]
if ARGV[3] == '' then return call('PEXPIRE', key, ARGV[2]) end
call('SADD', 'mg:workers', ARGV[1])
call('SET', key, ARGV[3], 'PX', ARGV[2])
return 1

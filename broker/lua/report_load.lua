-- REPORT_LOAD: a worker reports the versions that its scorers have loaded, and counts as alive for the given time.
--
-- Writes mg:workers (SET), mg:loaded:<worker> (STRING).
-- ARGV: worker, ms, status (JSON; '' for the same as before).
-- Returns 1; 0 if its former report has expired, so that it must send the whole status.
allow_when_full()
local key = 'mg:loaded:' .. ARGV[1]
if ARGV[3] == '' then return call('PEXPIRE', key, ARGV[2]) end
call('SADD', 'mg:workers', ARGV[1])
call('SET', key, ARGV[3], 'PX', ARGV[2])
return 1

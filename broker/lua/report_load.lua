-- REPORT_LOAD: a worker reports the versions that its scorers have loaded, and counts as alive for the given time.
--
-- Writes mg:workers (SET), mg:loaded:<worker>, mg:loaded:<worker>:failures and mg:pool<pool> (STRING).
-- ARGV: worker, ms, status (JSON; '' for the same as before), versions that it cannot load (JSON, or '' for none), its
--   pool, ms for which jobs of the pool are accepted.
-- Returns 1; 0 if its former report has expired, so that it must send the whole status.
allow_when_full()
if ARGV[5] ~= '' then call('SET', 'mg:pool' .. ARGV[5], ARGV[1], 'PX', ARGV[6]) end
local key = 'mg:loaded:' .. ARGV[1]
local failures = key .. ':failures'
if ARGV[3] == '' then
  call('PEXPIRE', failures, ARGV[2])
  return call('PEXPIRE', key, ARGV[2])
end
call('SADD', 'mg:workers', ARGV[1])
call('SET', key, ARGV[3], 'PX', ARGV[2])
if ARGV[4] == '' then call('DEL', failures) else call('SET', failures, ARGV[4], 'PX', ARGV[2]) end
return 1

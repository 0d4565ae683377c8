-- TRY_WRITE: tries a write that changes nothing, so that a health check learns whether Redis takes writes.
--
-- Writes nothing; ZADD XX leaves out what does not exist.
-- ARGV: 'repair' (tried as scripts that a full Redis allows) or 'job' (tried as SUBMIT does).
-- Returns syncing() and 1.
if ARGV[1] == 'repair' then allow_when_full() end
call('ZADD', 'mg:full', 'XX', 0, '')
return { syncing(), 1 }

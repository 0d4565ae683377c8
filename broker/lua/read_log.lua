-- READ_LOG: returns the log of a training from a byte on. Read-only. A script, because a full Redis refuses even reads
-- between MULTI and EXEC.
--
-- Reads rq:job:<id> (log_start), mg:log:<id>.
-- ARGV: id, the byte.
-- Returns the byte at which the answer begins, because a long log loses its start; and the rest of it.
local lost = whole(fields_of(ARGV[1], 'log_start')[1]) or 0
local first = math.max(lost, tonumber(ARGV[2]))
return { first, call('GETRANGE', 'mg:log:' .. ARGV[1], first - lost, -1) }

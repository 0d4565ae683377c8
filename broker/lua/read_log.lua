-- READ_LOG: returns the log of a training from a byte on, or its end. Read-only. A script, because a full Redis refuses even reads
-- between MULTI and EXEC.
--
-- Reads rq:job:<id> (log_start), mg:log:<id>.
-- ARGV: id, the byte; if it is negative, so many bytes before the end.
-- Returns the byte at which the answer begins, because a long log loses its start; and the rest of it.
local lost = whole(fields_of(ARGV[1], 'log_start')[1]) or 0
local log, first = 'mg:log:' .. ARGV[1], tonumber(ARGV[2])
if first < 0 then first = lost + call('STRLEN', log) + first end
first = math.max(lost, first)
return { first, call('GETRANGE', log, first - lost, -1) }

-- PROGRESS: the owner of a running job reports its progress and its log, and learns whether it still owns the job.
--
-- Writes rq:job:<id> (progress, log_start), mg:log:<id>.
-- ARGV: id, inc, progress (JSON or ''), whole lines for the log (or ''), bytes that the log had before them.
-- Returns 'mine'; or 'lost' (it was given back) or 'ended' (it was cancelled), and then writes nothing.
-- Lines that the log has already are not written again: the reply was lost. A log keeps about its last megabyte.
local LARGEST, KEPT = 1048576, 786432
local id, key, log = ARGV[1], 'rq:job:' .. ARGV[1], 'mg:log:' .. ARGV[1]
allow_when_full()
local f = fields_of(id, 'status', 'worker_name', 'log_start')
if f[1] ~= 'started' and f[1] ~= 'queued' then return 'ended' end
if f[1] ~= 'started' or f[2] ~= ARGV[2] then return 'lost' end
if ARGV[3] ~= '' then call('HSET', key, 'progress', ARGV[3]) end
local written = (whole(f[3]) or 0) + call('STRLEN', log) - ARGV[5]
local lines = string.sub(ARGV[4], math.max(written, 0) + 1)
if lines == '' then return 'mine' end
local length = call('APPEND', log, lines)
if length > LARGEST then
  local rest = call('GETRANGE', log, -KEPT, -1)
  rest = string.sub(rest, (string.find(rest, '\n', 1, true) or 0) + 1)
  call('HSET', key, 'log_start', (whole(f[3]) or 0) + length - #rest)
  call('SET', log, rest)
end
call('EXPIRE', log, KEEP_UNENDED_LOGS) -- in case stock RQ deletes the job; its end gives both the same TTL
return 'mine'

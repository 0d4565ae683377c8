-- PROGRESS: the owner of a running training says how far it is, and hears whether the job is still its own.
--
-- Writes rq:job:<id> (progress, log_start), mg:log:<id>.
-- ARGV: id, inc, progress (JSON or ''), whole lines for the log (or ''), bytes that the log had before them.
-- Answers 'mine'; or 'lost' (it was given back) or 'ended' (it was cancelled), and nothing is written.
-- Lines that are there already are not written again: the reply was lost. A log keeps its last megabyte or so.
local LARGEST, KEPT, WEEK = 1048576, 786432, 604800
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
call('EXPIRE', log, WEEK) -- should stock RQ delete the job; its end gives both the same time
return 'mine'

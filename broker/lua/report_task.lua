-- REPORT_TASK: the owner of a task reports how far it has come, and learns whether it still owns the task.
--
-- Writes rq:job:<task>, rq:job:<file> (rows_done).
-- ARGV: inc, task, rows of it that are done, the rows of the file that come next ('16384 to 32767', or '').
-- Returns 1, or 0 if its file has ended; then nothing is written.
local inc, task = ARGV[1], ARGV[2]
allow_when_full()
local f = fields_of(task, 'status', 'worker_name', 'origin', 'reported', 'stage')
local done = f[5] == 'score' and whole(ARGV[3]) or 0
local file = 'rq:job:' .. string.match(f[3] or '', '[^:]*$')
if f[1] ~= 'started' or f[2] ~= inc or call('EXISTS', file) == 0 then return 0 end
call('HINCRBY', file, 'rows_done', done - (whole(f[4]) or 0))
call('HSET', 'rq:job:' .. task, 'reported', done, 'at', ARGV[4])
return 1

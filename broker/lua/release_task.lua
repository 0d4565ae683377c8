-- RELEASE_TASK: the owner of a task returns it, for another scorer, without a death.
--
-- Writes mg:held:<inc>, rq:wip:file-task:<file>, rq:queue:file-task:<file>, rq:job:<task>, rq:job:<file> (rows_done),
-- mg:lane, mg:turn, mg:bell:lane, rq:worker:<inc>.
-- ARGV: inc, task.
-- Returns 1. Repeating is harmless.
local inc, task = ARGV[1], read(ARGV[2])
allow_when_full()
if task and task.status == 'started' and task.holder == inc then
  call('ZREM', 'mg:held:' .. inc, task.id)
  call('ZREM', 'rq:wip:' .. task.q, task.id .. ':' .. inc)
  requeue(task)
end
close()
return 1

-- DELETE_SCHEDULE: removes the schedule of a model; its next run does not begin.
--
-- Writes mg:schedules, mg:schedules:alarms, rq:scheduled:training, rq:job:<id>.
-- ARGV: model, the schedule as it was read (JSON), the id of its next run.
-- Returns 1; 0 if the schedule is another one by now, or there is none.
local model, text, id = unpack(ARGV)
allow_when_full()
if call('HGET', 'mg:schedules', model) ~= text then return 0 end
if call('ZREM', 'rq:scheduled:training', id) == 1 then call('DEL', 'rq:job:' .. id) end
call('HDEL', 'mg:schedules', model)
call('HDEL', 'mg:schedules:alarms', model)
return 1

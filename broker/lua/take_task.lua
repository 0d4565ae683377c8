-- TAKE_TASK: a scorer takes the next task of the file whose turn it is, and then owns it. Owners take turns
-- by tasks, and so do the files of each. The first task of a file starts it.
--
-- Reads mg:lease:<inc>. Writes mg:lane, mg:served:lane, mg:bell:lane, rq:job:<task>, rq:job:<file>, rq:queue:file-task:<file>,
-- rq:wip:file-task:<file>, mg:held:<inc>, rq:worker:<inc>; for a file that starts rq:queue:<q>, rq:wip:<q>,
-- mg:held:files and the deadlines; for one past its deadline also the keys of EXPIRE.
-- ARGV: inc, the models to choose from (' loan iris ', or '' for all), those to skip (' slow ', or ''), the
--   pool of the scorer.
-- Returns {task, file, queue of the file, version, stage, number of the task in it, deaths, data of the file, ids of its
-- request (or ''), what the prediction log gets of it as JSON (or '')}, or {} if there is no task for this scorer; the
-- error FENCED without a lease. A task that it owns already is returned again: the reply was lost.
local inc, only, skip, pool = unpack(ARGV)
local held = 'mg:held:' .. inc
allow_when_full()
if call('EXISTS', 'mg:lease:' .. inc) == 0 then return redis.error_reply('FENCED ' .. inc .. ' has no lease') end

local function answer(task, file)
  local f, t = fields_of(file.id, 'data', 'request', 'log'), fields_of(task, 'stage', 'number', 'deaths')
  return { task, file.id, file.q, file.version, t[1], whole(t[2]) or 0, whole(t[3]) or 0, f[1] or '', f[2] or '',
    f[3] or '' }
end

local function eligible(q)
  local name = ' ' .. model_of(q) .. ' '
  return pool_of(q) == pool and (only == '' or string.find(only, name, 1, true)) and not string.find(skip, name, 1, true)
end

local function start(file)
  call('LREM', 'rq:queue:' .. file.q, 1, file.id)
  if file.started then revive(file.id, file.q) elseif file.deadline then call('ZREM', kind_of(file.q).deadlines, file.id) end
  call('HSET', file.key, 'status', 'started', 'started_at', stamp(), 'worker_name', 'files')
  call('ZADD', 'mg:held:files', 1, file.id)
  call('ZADD', 'rq:wip:' .. file.q, '+inf', file.id .. ':files')
end

-- The next task of a file: one that was given back, or a new one; nil if scorers own all. Also whether there are more.
local function next_task(file)
  local q = 'file-task:' .. file.id
  local list, f = 'rq:queue:' .. q, fields_of(file.id, 'stage', 'tasks', 'next_task')
  local number, tasks, id = whole(f[3]) or 0, whole(f[2]) or 0, call('LPOP', list)
  if not id then
    if number >= tasks then return nil end
    id = file.id .. '-' .. f[1] .. '-' .. number
    number = call('HINCRBY', file.key, 'next_task', 1)
    call('HSET', 'rq:job:' .. id, 'origin', q, 'stage', f[1], 'number', number - 1)
  end
  call('HSET', 'rq:job:' .. id, 'status', 'started', 'started_at', stamp(), 'worker_name', inc)
  call('ZADD', held, 1, id)
  call('ZADD', 'rq:wip:' .. q, '+inf', id .. ':' .. inc)
  note_model(inc, file.q)
  return id, number < tasks or call('EXISTS', list) == 1
end

for _, id in ipairs(call('ZRANGE', held, 0, -1)) do
  local task = read(id)
  if task and kind_of(task.q).task and task.status == 'started' and task.holder == inc then
    return answer(id, read(file_of(task)))
  end
end
for _, id in ipairs(call('ZRANGE', 'mg:lane', 0, -1)) do
  local file = read(id)
  if not file or file.status ~= 'queued' and file.status ~= 'started' then
    drop_tasks(id) -- stock RQ has cancelled or deleted it
  elseif file.status == 'queued' and file.deadline and not file.started and file.deadline <= now_ms() then
    call('LREM', 'rq:queue:' .. file.q, 1, id)
    expire(file)
  elseif eligible(file.q) then
    if file.status == 'queued' then start(file) end
    local task, more = next_task(file)
    call('ZREM', 'mg:lane', id)
    if more then join_lane(id, file.q) end
    if task then
      if call('EXISTS', 'mg:lane') == 1 then ring('mg:bell:lane' .. pool) end -- for other scorers
      close()
      return answer(task, file)
    end
  end
end
close()
return {}

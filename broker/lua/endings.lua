-- How jobs end and return to their queues. A script that uses any of it ends with `close()`.
local LARGEST_LINE, LARGEST_MESSAGE = 16384, 262144
-- Bytes of a part, which keep the hash compact, and the most parts (PARTS in broker/records/job_records.py).
local PART, PARTS = 63, 16
local messages, sizes = {}, {} -- by channel

local function quoted(value) return value and value ~= '' and '"' .. value .. '"' or 'null' end

-- Adds a line of JSON about the job to the message of each of its channels, or only its id where the line is long or
-- the kind is not published (`parse_reply` in broker/state/job_reading.py). `members`: JSON members of the outcome.
local function notify(job, status, members)
  local short = kind_of(job.q).published and (not members or #members <= LARGEST_LINE)
  local line = short and '{"id":"' .. job.id .. '","origin":"' .. job.q .. '","status":"' .. status
    .. '","version":' .. (job.version or 'null') .. ',"created_at":' .. quoted(job.created)
    .. ',"enqueued_at":' .. quoted(job.enqueued) .. ',"started_at":' .. quoted(job.started)
    .. ',"ended_at":"' .. stamp() .. '","echo":' .. (job.echo or 'null') .. (members and ',' .. members or '') .. '}'
  for channel in string.gmatch(job.reply, 'mg:reply:%S+') do
    local size = sizes[channel] or 0
    local fits = line and #line <= LARGEST_LINE and size + #line <= LARGEST_MESSAGE
    local lines = messages[channel] or {}
    lines[#lines + 1] = fits and line or '{"id":"' .. job.id .. '"}'
    messages[channel], sizes[channel] = lines, size + #lines[#lines]
  end
end

-- Publishes the messages, one a channel.
local function publish()
  for channel, lines in pairs(messages) do call('PUBLISH', channel, table.concat(lines, '\n')) end
end

-- Bounds in seconds of modelgate_queue_seconds, and RQ's statuses in our words (broker/metrics/table.py).
local WAITS = { 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60 }
local ENDS = { finished = 'succeeded', failed = 'failed', canceled = 'canceled' }
local counted = {} -- by hash and field

local function count(part, field, amount)
  local fields = counted[part] or {}
  fields[field] = (fields[field] or 0) + (amount or 1)
  counted[part] = fields
end

local seconds = {} -- by time, because the jobs of a batch have started together
-- The seconds of its day that a time in RQ's format has; nil if it is none.
local function seconds_of(time)
  if seconds[time] then return seconds[time] end
  local hour, minute, second = string.match(time, 'T(%d%d):(%d%d):(%d%d%.?%d*)')
  seconds[time] = hour and hour * 3600 + minute * 60 + second
  return seconds[time]
end

local function count_end(job, status)
  local kind, model = kind_of(job.q), 'model:' .. model_of(job.q)
  if kind.staged then return count(model, 'files_total|' .. status) end
  if not kind.batched then
    if kind.members == 'mg:trainers' then count('jobs', 'trainer_jobs_total|' .. job.q .. '|' .. status) end
    return
  end
  if kind.name ~= 'prediction' then return count(model, kind.name .. 's_total|' .. status) end
  local version = whole(job.version)
  count(model, 'jobs_total|' .. status)
  if version then count(model, 'jobs_by_version_total|' .. version .. '|' .. status) end
  local since, start = seconds_of(job.enqueued or ''), seconds_of(job.started or '')
  if not (since and start) then return end
  local waited, bucket = (start - since) % 86400, 0
  while bucket < #WAITS and waited > WAITS[bucket + 1] do bucket = bucket + 1 end
  count('jobs', 'queue_seconds|' .. bucket)
  count('jobs', 'queue_seconds|sum', floor(waited * 1000000))
end

-- Writes the counters. A worker may have written anything there, which must not fail the script.
local function write_counts()
  for part, fields in pairs(counted) do
    local key = 'mg:counts:' .. part
    for field, amount in pairs(fields) do
      local total = redis.pcall('HINCRBY', key, field, string.format('%.0f', amount))
      if total == amount and part ~= 'jobs' then call('EXPIRE', key, KEEP_COUNTERS) end -- as COUNT does
    end
  end
end

local failures = {} -- of jobs, by model, caller and entry

-- Notes why a job of a version has failed, before its record is replaced.
local function note_failure(job, kind, ended_as, members)
  if not kind.pinned or ended_as ~= 'failed' and ended_as ~= 'expired' then return end
  local _, ending = pcall(cjson.decode, '{' .. (members or '') .. '}') -- a worker may have written anything
  local failure = type(ending) == 'table' and ending.failure
  local code = ended_as == 'expired' and ended_as or type(failure) == 'table' and tostring(failure.code or '')
  local caller, version = fields_of(job.id, 'caller')[1], whole(job.version)
  code = string.match(code or '', '^[a-z_]+$') or 'job_refused'
  caller = string.sub(string.match(caller or '', '^[%w_-]+$') or '', 1, 64)
  local entry = cjson.encode({ string.sub(code, 1, 40), '', '', version and tostring(version) or '', caller })
  local name = model_of(job.q) .. ' ' .. caller .. ' ' .. entry
  failures[name] = (failures[name] or 0) + 1
end

local function write_failures()
  local seconds_now = floor(now() / 1000000)
  for name, amount in pairs(failures) do
    local model, caller, entry = string.match(name, '^(%S*) (%S*) (.*)$')
    if model then count_failures(model, floor(seconds_now / 3600), caller, entry, amount, seconds_now, seconds_now) end
  end
end

local function part_names()
  local names = {}
  for part = 1, PARTS do names[part] = part end
  return names
end

local entries = {} -- by index: score, id, score, id, …
local ended = 0

local function keep(kept, name, value)
  if value and value ~= '' then
    local count = #kept
    kept[count + 1], kept[count + 2] = name, value
  end
end

-- Adds the end as JSON, in short parts, and returns its bytes.
local function keep_end(kept, echo, members)
  local text = echo and members and '{"echo":' .. echo .. ',' .. members .. '}' or echo and '{"echo":' .. echo .. '}'
    or members and '{' .. members .. '}'
  if not text then return 0 end
  local size, count = #text <= PARTS * PART and PART or #text, #kept
  for start = 1, #text, size do
    kept[count + 1], kept[count + 2] = (start - 1) / size + 1, string.sub(text, start, start + size - 1)
    count = count + 2
  end
  return #text
end

-- Counts an end of so many bytes for the owner of the job.
local function count_unseen(job, size)
  local key = results_of(job.q)
  size = size > PARTS * PART and 2 * SMALL + size or SMALL
  unseen_bytes = unseen_bytes + size
  if not key then return end
  if size > SMALL then redis.pcall('HSET', key, job.id, size) end
  unseen[key] = (unseen[key] or 0) + size
end

local conclude

local function file_of(task) return string.match(task.q, ':(.*)') end

-- Notes whose jobs, from the queue q, an incarnation takes: it may still run them when they are cancelled and deleted.
local function note_model(inc, q)
  call('HSET', 'rq:worker:' .. inc, 'state', 'busy', 'model', model_of(q))
end

-- Forgets the tasks of a file of the queue q (nil: unknown), also those that scorers own, and takes it from the bulk lane:
-- its owner has a turn more then.
local function drop_tasks(file, q)
  local list, wip = 'rq:queue:file-task:' .. file, 'rq:wip:file-task:' .. file
  for _, task in ipairs(call('LRANGE', list, 0, -1)) do call('DEL', 'rq:job:' .. task) end
  for _, entry in ipairs(call('ZRANGE', wip, 0, -1)) do
    local task, inc = string.match(entry, '^(.*):(.-)$')
    call('DEL', 'rq:job:' .. task)
    call('ZREM', 'mg:held:' .. inc, task)
  end
  call('DEL', list, wip)
  if call('ZREM', 'mg:lane', file) == 1 and q then call('ZADD', 'mg:served:lane', 'INCR', -1, owner_of(q)) end
  call('ZREM', 'mg:held:files', file)
end

local NEXT_STAGE = { plan = 'score', score = 'assemble' }

-- Ends a task, and with the last one of a stage the stage; a task that fails ends its file. The `result` in `members` has
-- `tasks` and `rows` if it is of a plan, `rows`, `refused` and `nulls` if it is of a chunk.
local function end_task(task, status, members)
  local file = read(file_of(task))
  local reported = whole(fields_of(task.id, 'reported')[1]) or 0
  call('DEL', task.key)
  if not file or file.status ~= 'started' then return end -- stock RQ has cancelled or deleted it
  if status ~= 'finished' then return conclude(file, status, members) end
  local f = fields_of(file.id, 'stage', 'tasks')
  local done = call('HINCRBY', file.key, 'tasks_done', 1)
  local result = f[1] ~= 'assemble' and cjson.decode('{' .. members .. '}').result
  if f[1] == 'score' then
    call('HINCRBY', file.key, 'rows_done', result.rows - reported)
    call('HINCRBY', file.key, 'rows_refused', result.refused)
    count('model:' .. model_of(file.q), 'refused_rows_total', result.refused)
    call('HINCRBY', file.key, 'rows_null', result.nulls)
  end
  if done < (whole(f[2]) or 1) then return end
  local stage = NEXT_STAGE[f[1]]
  if not stage then return conclude(file, 'finished', members) end
  call('HSET', file.key, 'stage', stage, 'tasks', stage == 'score' and result.tasks or 1, 'next_task', 0,
    'tasks_done', 0)
  if stage == 'score' then call('HSET', file.key, 'rows_total', result.rows) end
  join_lane(file.id, file.q)
end

-- Keeps the record of the request (broker/lua/earlier.lua) as long as the job. A repository command that was withdrawn
-- has done nothing, and the same request may send it again.
local function keep_record(job, kind, status)
  local record = 'mg:idempotency:' .. string.match(job.idempotency, '^%S*')
  if status == 'canceled' and not kind.readable then call('DEL', record) else call('EXPIRE', record, job.ttl) end
end

local reports = {} -- for webhooks

-- Reports the end to the URL that came with the job, and to the subscriptions that ask for such ends. Nobody can subscribe
-- to predictions: there are too many.
local function report(job, kind, status)
  local url = job.webhook
  if not kind.name or kind.batched and not url then return end
  local event = kind.name .. '.' .. status
  if url or redis.pcall('SISMEMBER', 'mg:webhooks:wanted', event) == 1 then
    reports[#reports + 1] = cjson.encode({ id = job.id, type = event, at = stamp(), url = url or nil, q = job.q })
  end
end

-- Ends a job that has left its queue and held set: short fields replace its hash (ADR 26). `status` is RQ's;
-- `members`: JSON members of its outcome, or nil; `token`: of the request that cancelled it, or nil; `ended_as`: our word
-- for the status if it is not that of `ENDS`.
function conclude(job, status, members, token, ended_as)
  local kind = kind_of(job.q)
  if kind.task then return end_task(job, status, members) end
  if kind.staged then
    drop_tasks(job.id, job.q)
    call('ZREM', 'rq:wip:' .. job.q, job.id .. ':files')
  end
  local kept = { 'status', status, 'origin', job.q, 'ended_at', stamp(), 'data', kind.data }
  keep(kept, 'version', job.version)
  keep(kept, 'created_at', job.created)
  keep(kept, 'enqueued_at', job.enqueued)
  keep(kept, 'started_at', job.started)
  keep(kept, 'worker_name', job.holder)
  keep(kept, 'canceled_by', token)
  keep(kept, 'webhook', job.webhook and '1')
  if kind.kept then
    local values = fields_of(job.id, unpack(kind.kept))
    for i, name in ipairs(kind.kept) do keep(kept, name, values[i]) end
  end
  count_unseen(job, keep_end(kept, job.echo, members))
  ended_as = ended_as or ENDS[status]
  note_failure(job, kind, ended_as, members)
  call('DEL', job.key)
  call('HSET', job.key, unpack(kept))
  call('EXPIRE', job.key, job.ttl)
  if kind.logged then call('EXPIRE', 'mg:log:' .. job.id, job.ttl) end
  if job.deadline then call('ZREM', kind.deadlines, job.id) end
  if job.idempotency then keep_record(job, kind, status) end
  local index = 'mg:ended:' .. status .. ':' .. job.q
  local list = entries[index] or {}
  list[#list + 1] = (now() + ended) / 1000000
  list[#list + 1] = job.id
  entries[index] = list
  ended = ended + 1
  count_end(job, ended_as)
  report(job, kind, ended_as)
  if job.reply and job.reply ~= '' then notify(job, status, members) end
end

local function cancel(job, token) conclude(job, 'canceled', nil, token) end

local function expire(job) conclude(job, 'canceled', '"outcome":"expired"', nil, 'expired') end

local function fail(job, failure) conclude(job, 'failed', '"failure":' .. failure) end

-- Writes indexes, reports, counters and messages, each at once; call it after the last `conclude` of a script.
local function close()
  for index, list in pairs(entries) do
    call('ZADD', index, unpack(list))
    trim(index, #list)
  end
  for key, bytes in pairs(unseen) do redis.pcall('HINCRBY', key, '', bytes) end
  if #reports > 0 then redis.pcall('RPUSH', 'mg:webhooks:ended', unpack(reports)) end -- a worker may have replaced the list
  write_counts()
  write_failures()
  publish()
end

-- Clears the end and the deadline of a job that stock RQ has queued again. Such a job has an empty `started_at`; a job
-- that these scripts queue has none.
local function revive(id, q)
  local key = 'rq:job:' .. id
  call('PERSIST', key)
  call('HDEL', key, 'started_at', 'ended_at', 'canceled_by', 'worker_name', 'deadline',
    unpack(part_names()))
  forget(id, q)
  call('ZREM', kind_of(q).deadlines, id)
end

local GROUPS = { ['mg:trainers'] = 'trainers', ['mg:observers'] = 'observers' }
local function group_of(members) return GROUPS[members] or 'scorers' end

-- Returns a job to the head of its queue.
local function requeue(job)
  call('HSET', job.key, 'status', 'queued')
  call('HDEL', job.key, 'started_at', 'worker_name')
  call('LPUSH', 'rq:queue:' .. job.q, job.id)
  if job.deadline then call('ZADD', kind_of(job.q).deadlines, job.deadline, job.id) end
  if not kind_of(job.q).task then return end
  local file, reported = file_of(job), whole(fields_of(job.id, 'reported')[1]) or 0
  local q = fields_of(file, 'origin')[1]
  if q then call('HINCRBY', 'rq:job:' .. file, 'rows_done', 0 - reported) end
  call('HDEL', job.key, 'reported')
  join_lane(file, q or '')
end

-- A failure whose message begins with the rows that a task was scoring, if it has said which, or is a plan.
local function located(job, failure)
  local f = fields_of(job.id, 'at', 'stage')
  local at = (f[1] or '') ~= '' and 'rows ' .. f[1]
    or f[2] == 'plan' and 'while the file was planned with its first rows (4096 at most)'
  if not at then return failure end
  local located_failure = cjson.decode(failure)
  located_failure.message = at .. ': ' .. located_failure.message
  return cjson.encode(located_failure)
end

-- Returns the jobs of `inc`, one of `members`, to their queues, in order, and ends the incarnation. A job in `scored`
-- (nil: all) counts a death, and fails with `failure` at the last of `max_deaths`.
-- Returns id, what became of it, id, …; `close` must follow.
local function give_back(members, inc, scored, max_deaths, failure)
  local held, answer, rows, died = 'mg:held:' .. inc, {}, {}, false
  for _, id in ipairs(call('ZREVRANGE', held, 0, -1)) do
    local job = read(id)
    if job then call('ZREM', 'rq:wip:' .. job.q, id .. ':' .. inc) end
    if job and job.status == 'started' and job.holder == inc then
      local counts = not scored or scored[id]
      local deaths = job.deaths + (counts and 1 or 0)
      if counts then
        call('HSET', job.key, 'deaths', deaths)
        died = true
      end
      local became = 'queued'
      if counts and deaths >= max_deaths then
        fail(job, located(job, failure))
        became = 'failed'
      elseif job.deadline and job.deadline <= now_ms() then
        expire(job)
        became = 'expired'
      else
        requeue(job)
        rows[job.q] = (rows[job.q] or 0) + job.rows
      end
      answer[#answer + 1] = id
      answer[#answer + 1] = became
      count('jobs', 'jobs_given_back_total|' .. became)
    end
  end
  if died then count('jobs', 'deaths_total|' .. group_of(members)) end
  call('DEL', held, 'mg:lease:' .. inc, 'rq:worker:' .. inc)
  if group_of(members) == 'scorers' then call('DEL', 'mg:batch:' .. inc) end
  call('SREM', members, inc)
  call('SREM', 'rq:workers', 'rq:worker:' .. inc)
  for q, added in pairs(rows) do
    if not kind_of(q).task then settle(q, added) end
  end
  return answer
end

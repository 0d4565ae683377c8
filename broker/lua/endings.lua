-- How jobs end and return to their queues; the loader puts it after the prelude of each script that calls `close`.
local LARGEST_LINE, LARGEST_MESSAGE = 16384, 262144
local messages, sizes = {}, {} -- by channel

local function quoted(value) return value and value ~= '' and '"' .. value .. '"' or 'null' end

-- Adds a line of JSON about the job to the message of each of its channels, or only its id where the line is long or
-- `part` is nil (`parse_reply` in broker/gateway/reading.py).
local function notify(job, status, part)
  local line = part and '{"id":"' .. job.id .. '","origin":"' .. job.q .. '","status":"' .. status
    .. '","version":' .. (job.version or 'null') .. ',"created_at":' .. quoted(job.created)
    .. ',"enqueued_at":' .. quoted(job.enqueued) .. ',"started_at":' .. quoted(job.started)
    .. ',"ended_at":"' .. stamp() .. '","echo":' .. (job.echo or 'null') .. part .. '}'
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

local entries = {} -- by registry: score, id, score, id, …
local ended = 0

-- Ends a job that is in no queue and no held set any more. `status` is RQ's; `result`: arguments of XADD, or nil;
-- `fields`: further fields of the hash; `part`: further JSON members of its message, which begin with a comma.
local function conclude(job, status, result, fields, part)
  local results = 'rq:results:' .. job.id
  if result then
    if type(redis.pcall('XADD', results, '*', unpack(result))) == 'table' then -- an error: it is no stream
      call('DEL', results)
      call('XADD', results, '*', unpack(result))
    end
    call('EXPIRE', results, job.ttl)
  end
  call('HSET', job.key, 'status', status, 'ended_at', stamp(), unpack(fields))
  call('EXPIRE', job.key, job.ttl)
  local kind = kind_of(job.q)
  if kind.logged then call('EXPIRE', 'mg:log:' .. job.id, job.ttl) end
  if job.deadline then call('ZREM', kind.deadlines, job.id) end
  local registry = 'rq:' .. status .. ':' .. job.q
  local list = entries[registry] or {}
  list[#list + 1] = (now() + ended) / 1000000 + job.ttl
  list[#list + 1] = job.id
  entries[registry] = list
  ended = ended + 1
  if job.reply and job.reply ~= '' then notify(job, status, part) end
end

local function cancel(job, fields)
  conclude(job, 'canceled', nil, fields, '')
end

local function expire(job)
  conclude(job, 'canceled', nil, { 'outcome', 'expired' }, ',"outcome":"expired"')
end

local function fail(job, failure, exc_string)
  conclude(job, 'failed', { 'type', '2', 'exc_string', exc_string, 'worker_name', job.holder or '' },
    { 'failure', failure }, ',"failure":' .. failure)
end

-- Removes expired entries from a registry, at most 1,000. Returns whether there are more.
local function trim(registry)
  local gone = call('ZCOUNT', registry, '-inf', floor(now() / 1000000))
  if gone > 0 then call('ZREMRANGEBYRANK', registry, 0, math.min(gone, 1000) - 1) end
  return gone > 1000
end

-- Writes registries and messages, each at once; call it after the last `conclude` of a script.
local function close()
  for registry, list in pairs(entries) do
    call('ZADD', registry, unpack(list))
    if string.sub(registry, 1, 12) ~= 'rq:canceled:' then trim(registry) end
  end
  publish()
end

-- Clears the end and the deadline of a job that stock RQ has queued again. Such a job has an empty `started_at`; a job
-- that these scripts queue has none.
local function revive(id, q)
  local key = 'rq:job:' .. id
  call('PERSIST', key)
  call('HDEL', key, 'started_at', 'ended_at', 'outcome', 'failure', 'canceled_by', 'worker_name', 'deadline')
  call('DEL', 'rq:results:' .. id)
  call('ZREM', kind_of(q).deadlines, id)
end

-- Returns the jobs of `inc`, one of `members`, to their queues, in order, and ends the incarnation. A job in `scored`
-- (nil: all) counts a death, and fails with `failure` and `exc_string` at the last of `max_deaths`.
-- Returns id, what became of it, id, …; `close` must follow.
local function give_back(members, inc, scored, max_deaths, failure, exc_string)
  local held, answer, rows = 'mg:held:' .. inc, {}, {}
  for _, id in ipairs(call('ZREVRANGE', held, 0, -1)) do
    local job = read(id)
    if job then call('ZREM', 'rq:wip:' .. job.q, id .. ':' .. inc) end
    if job and job.status == 'started' and job.holder == inc then
      local counts = not scored or scored[id]
      local deaths = job.deaths + (counts and 1 or 0)
      if counts then call('HSET', job.key, 'deaths', deaths) end
      local became = 'queued'
      if counts and deaths >= max_deaths then
        fail(job, failure, exc_string)
        became = 'failed'
      elseif job.deadline and job.deadline <= now_ms() then
        expire(job)
        became = 'expired'
      else
        call('HSET', job.key, 'status', 'queued')
        call('HDEL', job.key, 'started_at', 'worker_name')
        call('LPUSH', 'rq:queue:' .. job.q, id)
        if job.deadline then call('ZADD', kind_of(job.q).deadlines, job.deadline, id) end
        rows[job.q] = (rows[job.q] or 0) + job.rows
      end
      answer[#answer + 1] = id
      answer[#answer + 1] = became
    end
  end
  call('DEL', held, 'mg:lease:' .. inc, 'rq:worker:' .. inc)
  call('SREM', members, inc)
  call('SREM', 'rq:workers', 'rq:worker:' .. inc)
  for q, added in pairs(rows) do settle(q, added) end
  return answer
end

-- Shared by all scripts: the loader puts it before each of them, after `find_kind` (broker/job_kinds.py).
--
-- Keys. q is a queue, such as `predict:<model>` or `training`; inc is the incarnation of a scorer or trainer.
--   rq:job:<id>  HASH, RQ's fields and: rows, version, deaths, deadline (ms), echo (JSON), reply (channels), outcome,
--                failure (JSON), canceled_by, signature (of a trainer's job: broker/signatures.py), progress (JSON),
--                log_start (bytes that the log has lost at its start). `worker_name` is the incarnation that owns a
--                started job.
--   rq:results:<id>  STREAM           rq:queue:<q>  LIST of ids             rq:wip:<q>  ZSET "id:inc" -> +inf
--   rq:finished|failed|canceled:<q>   ZSET id -> when it expires (s, unique to the microsecond)
--   rq:worker:<inc>  HASH             mg:ready  ZSET q -> turn              mg:turn  INT
--   mg:bell, mg:bell:<q>  LIST        mg:rows  HASH q -> rows waiting
--   mg:deadlines, mg:deadlines:trainer  ZSET id -> ms, of the scorers' and of the trainers' jobs
--   mg:incs, mg:trainers  SET of inc  mg:lease:<inc>  STRING, its ms        mg:held:<inc>  ZSET id -> position
--   mg:workers  SET                   mg:loaded:<worker>  STRING, JSON      mg:wanted  ZSET model@version -> ms
--   mg:log:<id>  STRING, the end of the log
local call, floor = redis.call, math.floor

-- A full Redis refuses a script whose first write may need memory, and allows all later writes. A script that must run
-- when memory is full therefore begins with a DEL.
local function allow_when_full() call('DEL', 'mg:full') end

local micros
-- The time of this script in microseconds. Never concatenate it: Lua would round it.
local function now()
  if not micros then
    local time = call('TIME')
    micros = time[1] * 1000000 + time[2]
  end
  return micros
end

local function now_ms() return floor(now() / 1000) end

local text
-- The time of this script in RQ's format, 2026-01-02T03:04:05.000006Z (days to a date: Hinnant's civil_from_days).
local function stamp()
  if text then return text end
  local seconds = floor(now() / 1000000)
  local rest = seconds % 86400
  local days = floor(seconds / 86400) + 719468
  local era = floor(days / 146097)
  local day_of_era = days - era * 146097
  local year = floor((day_of_era - floor(day_of_era / 1460) + floor(day_of_era / 36524)
    - floor(day_of_era / 146096)) / 365)
  local day_of_year = day_of_era - (365 * year + floor(year / 4) - floor(year / 100))
  local month = floor((5 * day_of_year + 2) / 153)
  local day = day_of_year - floor((153 * month + 2) / 5) + 1
  month = month < 10 and month + 3 or month - 9
  text = string.format('%04d-%02d-%02dT%02d:%02d:%02d.%06dZ', year + era * 400 + (month <= 2 and 1 or 0), month, day,
    floor(rest / 3600), floor(rest / 60) % 60, rest % 60, now() % 1000000)
  return text
end

local function ring(bell)
  if call('LLEN', bell) == 0 then call('RPUSH', bell, '1') end
end

local queue, kind
-- The kind of the jobs in q: its entry of the table of job kinds.
local function kind_of(q)
  if q ~= queue then queue, kind = q, find_kind(q) end
  return kind
end

-- Whether a worker takes jobs from q. `queues`: names with commas between them; `predict:*` stands for all of a prefix.
local function serves(queues, q)
  local listed = ',' .. queues .. ','
  if string.find(listed, ',' .. q .. ',', 1, true) then return true end
  local prefix = string.match(q, '^[^:]*:')
  return prefix and string.find(listed, ',' .. prefix .. '*,', 1, true) and true or false
end

-- Updates ready, rows and bells after the list of q has changed, and its rows by `rows`. Returns whether q has jobs.
local function settle(q, rows)
  if call('EXISTS', 'rq:queue:' .. q) == 0 then
    call('ZREM', 'mg:ready', q)
    call('HDEL', 'mg:rows', q)
    call('DEL', 'mg:bell:' .. q)
    if call('EXISTS', 'mg:ready') == 0 then call('DEL', 'mg:bell') end
    return false
  end
  if kind_of(q).batched then -- scorers choose among these queues
    if rows ~= 0 then call('HINCRBY', 'mg:rows', q, rows) end
    if not call('ZSCORE', 'mg:ready', q) then call('ZADD', 'mg:ready', call('INCR', 'mg:turn'), q) end
    ring('mg:bell')
  end
  ring('mg:bell:' .. q)
  return true
end

-- Some fields of a job; none if its record is no hash. A worker may write to the record of any job, and no such value may
-- fail the scripts of other processes.
local function fields_of(id, ...)
  local f = redis.pcall('HMGET', 'rq:job:' .. id, ...)
  return f.err and {} or f
end

-- The whole number in a field; nil if there is none.
local function whole(field)
  local number = tonumber(field or '')
  return number and math.abs(number) < 2 ^ 53 and floor(number) or nil
end

-- The fields of a job that its next step depends on; nil if there is no such job.
local function read(id)
  local f = fields_of(id, 'status', 'origin', 'version', 'created_at', 'enqueued_at', 'started_at',
    'result_ttl', 'worker_name', 'reply', 'echo', 'rows', 'deadline', 'deaths')
  if not f[1] or not f[2] then return nil end
  return { id = id, key = 'rq:job:' .. id, status = f[1], q = f[2], version = f[3], created = f[4], enqueued = f[5],
    started = f[6], ttl = whole(f[7]) or 3600, holder = f[8], reply = f[9], echo = f[10],
    rows = whole(f[11]) or 0, deadline = whole(f[12]), deaths = whole(f[13]) or 0 }
end

local LARGEST_LINE, LARGEST_MESSAGE = 16384, 262144
local messages, sizes = {}, {} -- by channel

local function quoted(value) return value and value ~= '' and '"' .. value .. '"' or 'null' end

-- Adds a line of JSON about the job to the message of each of its channels, or only its id where the line is long or
-- `part` is nil (`parse_reply` in broker/gateway/reading.py).
local function tell(job, status, part)
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
local function announce()
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
  if job.reply and job.reply ~= '' then tell(job, status, part) end
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
  announce()
end

-- Clears the end and the deadline of a job that stock RQ has queued again. Such a job has an empty `started_at`; a job
-- that these scripts queue has none.
local function revive(id, q)
  call('PERSIST', 'rq:job:' .. id)
  call('HDEL', 'rq:job:' .. id, 'started_at', 'ended_at', 'outcome', 'failure', 'canceled_by', 'worker_name', 'deadline')
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

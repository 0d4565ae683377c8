-- Shared by all scripts: the loader (broker/scripts.py) puts it before each of them. `kind_of`, which is generated from
-- the table of job kinds (broker/job_kinds.py), comes first.
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

-- Some fields of a job; none if its record is no hash. A worker may write to the record of any job, and no such value
-- may fail the scripts of other processes.
local function fields_of(id, ...)
  local f = redis.pcall('HMGET', 'rq:job:' .. id, ...)
  return f.err and {} or f
end

-- The whole number in a field; nil if there is none.
local function whole(field)
  local number = field and tonumber(field)
  return number and math.abs(number) < 2 ^ 53 and floor(number) or nil
end

-- The fields of a job that its next step depends on; nil if there is no such job.
local function read(id)
  local f = redis.pcall('HMGET', 'rq:job:' .. id, 'status', 'origin', 'version', 'created_at', 'enqueued_at',
    'started_at', 'result_ttl', 'worker_name', 'reply', 'echo', 'rows', 'deadline', 'deaths')
  if not f[1] or not f[2] then return nil end -- f.err: its record is no hash
  return { id = id, key = 'rq:job:' .. id, status = f[1], q = f[2], version = f[3], created = f[4], enqueued = f[5],
    started = f[6], ttl = whole(f[7]) or 3600, holder = f[8], reply = f[9], echo = f[10],
    rows = whole(f[11]) or 0, deadline = whole(f[12]), deaths = whole(f[13]) or 0 }
end

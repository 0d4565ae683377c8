-- Shared by all scripts: the loader (broker/link/scripts.py) puts before each the definitions that it needs. `kind_of` and
-- `model_of`, which read the name of a queue and come first, are generated from the table of job kinds
-- (broker/records/job_kinds.py); the ages KEEP_… are those of contract/retention.py.
--
-- Keys. q is a queue, such as `predict:<model>`, `predict:<model>:<owner>` or `training`; base is the queue that takes
-- turns for it, `predict:<model>`; inc is the incarnation of a scorer or trainer. pool, '' for versions that live in
-- today's environment, is `~<environment>` for others, whose queues are `predict:<model>~<environment>[:<owner>]`. turns is
-- the pool for predictions, and `:explanation<pool>` for explanations.
--   rq:job:<id>  HASH, RQ's fields and: rows, version, deaths, deadline (ms), echo (JSON), reply (channels), signature
--                (of a trainer's job: broker/access/signatures.py), progress (JSON), log_start (bytes that the log has lost at
--                its start). `worker_name` is the incarnation that owns a started job, or ended it. An ended job keeps
--                few fields, and canceled_by, and its end as JSON in the fields 1, 2, … (ADR 26).
--   rq:queue:<q>  LIST of ids         rq:wip:<q>  ZSET "id:inc" -> +inf
--   mg:ended|fetched|delivered:<status>:<q>  ZSET id -> when it ended (s, unique to the microsecond)
--   rq:canceled:<q>  ZSET of the ids of jobs that stock RQ has cancelled, until RECONCILE ends them
--   rq:worker:<inc>  HASH             mg:ready<turns>  ZSET base -> turn     mg:turn  INT
--   mg:bell<turns>, mg:bell:<base>, mg:bell:scorer:<worker>-<slot>  LIST      mg:rows  HASH q -> rows waiting
--   mg:pools  SET of pools that have had jobs                                mg:pool<pool>  STRING, while a worker serves it
--   mg:owners:<base>  ZSET q -> virtual start time of its next job, in rows: the owners' queues with jobs (ADR 44)
--   mg:served:<base>  ZSET q -> virtual time at which an empty queue left off, in rows; '' -> the virtual time;
--                '+': several owners have had jobs at once
--   mg:rate:<key>:<model>  STRING, µs: the time at which the rows that the key has sent are paid for
--   mg:deadlines, mg:deadlines:trainer  ZSET id -> ms, of the scorers' and of the trainers' jobs
--   mg:slow  ZSET model -> ms until which it counts as slow   mg:slow:<queues>  STRING, while several scorers serve them
--   mg:timeouts  ZSET model -> ms until which its last time-out
--                counts                mg:timeouts:<model>  ZSET hash of rows, '2:' .. hash for a second time -> ms likewise
--   mg:incs, mg:trainers  SET of inc  mg:lease:<inc>  STRING, its ms        mg:held:<inc>  ZSET id -> position
--   mg:idle<turns>  ZSET inc -> µs since which the scorer waits for a batch    mg:limits:<inc>  STRING, what it may have
--   mg:batch:<inc>  LIST, the batch that SUBMIT has handed to it, or of a large one what ended it
--   mg:lane  ZSET file -> turn, of the files that have a task to hand out    mg:bell:lane<pool>  LIST
--   mg:served:lane  ZSET owner -> turn of its last file in the lane
--   mg:held:files  ZSET file -> 1: those that run; `files` is the holder of each
--   rq:queue:file-task:<file>, rq:wip:file-task:<file>  tasks that were given back, and running ones (ADR 49)
--   mg:gateways  ZSET gateway -> ms of its last report     mg:starts  ZSET start of a gateway process or worker -> s
--   mg:stuck     ZSET process that makes no progress -> ms of the last report about it
--   mg:workers  SET                   mg:loaded:<worker>  STRING, JSON      mg:wanted  ZSET model@version -> ms
--   mg:results:<owner>  HASH '' -> bytes of results of rows that no client has seen; id -> bytes of a large one of these
--   mg:spare:<q>  HASH, bytes that a full Redis has accepted this hour
--   mg-gateway:uploads:<key>:<day>  HASH upload or 'all' -> bytes
--   mg-gateway:keys  HASH fingerprint -> JSON              mg-gateway:keys:used  HASH fingerprint -> s
--   mg-gateway:keys:revision  INT
--   mg-gateway:use:<day>  HASH <key>|<model> -> requests, errors, rows and last request (s)
--   mg-gateway:session:<hash>  STRING, fingerprint of its key       mg-gateway:sessions:<fingerprint>  LIST of hashes
--   mg:webhooks:ended  LIST of JSON, the ends of jobs that webhooks report        mg:webhooks:wanted  SET of events
--   mg-gateway:webhooks  HASH name -> JSON, the subscriptions
--   mg-events:due  ZSET owner -> ms of its next turn       mg-events:due:<owner>  ZSET host -> ms of its next turn
--   mg-events:due:<owner> <host>  ZSET delivery -> ms of its next try     mg-events:delivery:<id>  HASH
--   mg-events:waiting  HASH owner -> deliveries that wait
--   mg-events:of:<job>  SET of deliveries                  mg-events:last  HASH subscription -> JSON, its last try
--   mg-events:alive  ZSET process that sends webhooks -> ms of its last report
--   mg-events:models  HASH model -> its versions, as last reported; '' -> '1' once all were read
--   mg:failures:<model>:<hour>  HASH entry -> count, first and last time (s)      mg-gateway:failures:<model>  HASH
--                cause -> JSON, an example
--   mg:log:<id>  STRING, the end of the log               mg:loaded:<worker>:failures  STRING, JSON
--   mg:logged  STREAM of records for the prediction log: version, records    mg:logged:bytes  INT, of these records
--   mg:logged:position  STRING, the last entry that the observer has kept
--   mg:logged:since  STRING, ms since which files wait for the observer to take of mg:logged
--   mg:shadow:<experiment>  STREAM of records for the candidate of a shadow experiment, with the group `shadow`
--                …:bytes  INT, of these records           …:dropped  INT, rows dropped since the last entry
--   mg:observers  SET of inc          mg:deadlines:observer  ZSET id -> ms, of the questions to observers
local call, floor = redis.call, math.floor

-- A full Redis refuses a script whose first write may need memory, and allows all later writes. A script that must run
-- when memory is full therefore begins with a DEL.
local function allow_when_full() call('DEL', 'mg:full') end

-- 1 while Redis syncs its append-only file in the background (`appendfsync everysec`), else 0. During a sync Redis
-- answers before it has written, for two seconds at most: a Redis that is killed then loses writes that it has
-- confirmed. If a script returns 0, Redis writes its changes and all earlier ones before the answer leaves
-- (flushAppendOnlyFile in Redis' aof.c).
local function syncing()
  local info = call('INFO', 'persistence')
  local _, last = string.find(info, 'aof_pending_bio_fsync:', 1, true)
  return last and string.sub(info, last + 1, last + 1) ~= '0' and 1 or 0
end

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

-- A time in microseconds in RQ's format, 2026-01-02T03:04:05.000006Z (days to a date: Hinnant's civil_from_days).
local function stamp_of(time)
  local seconds = floor(time / 1000000)
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
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%06dZ', year + era * 400 + (month <= 2 and 1 or 0), month, day,
    floor(rest / 3600), floor(rest / 60) % 60, rest % 60, time % 1000000)
end

-- Whether a process sends the call with this number, which grows, for the first time, so that a batch that is sent again
-- counts nothing twice. A process that is gone leaves one number for an hour.
local function is_new(process, number)
  local counted = 'mg:counted:' .. process
  if tonumber(number) <= (tonumber(call('GET', counted) or '0') or 0) then return false end
  call('SET', counted, number, 'EX', 3600)
  return true
end

local text
-- The time of this script in RQ's format.
local function stamp()
  text = text or stamp_of(now())
  return text
end

local function ring(bell)
  if call('LLEN', bell) == 0 then call('RPUSH', bell, '1') end
end

-- Whether a worker takes jobs from q. `queues`: names with commas between them; `predict:*` stands for all of a prefix.
local function serves(queues, q)
  local listed, _, base = ',' .. queues .. ',', kind_of(q)
  if string.find(listed, ',' .. base .. ',', 1, true) then return true end
  local prefix = string.match(q, '^[^:]*:')
  return prefix and string.find(listed, ',' .. prefix .. '*' .. pool_of(q) .. ',', 1, true) and true or false
end

-- The entry of mg:served that says that several owners have had jobs at once, until no job waits for the model.
local SEVERAL = '+'

-- Adds q to the queues of base with jobs, or removes it once it has none. Returns whether any of them has jobs. A
-- queue that has jobs again starts at the virtual time, or where it left off if that is later (start-time fair
-- queueing; Goyal, Vin and Cheng 1996).
local function share(base, q, has_jobs)
  local owners, served = 'mg:owners:' .. base, 'mg:served:' .. base
  local start = call('ZSCORE', owners, q)
  if has_jobs and start then return true end
  local time = call('ZSCORE', served, '')
  if has_jobs then
    if call('EXISTS', owners) == 1 then call('ZADD', served, '+inf', SEVERAL) end
    local left_off = call('ZSCORE', served, q)
    call('ZADD', owners, math.max(tonumber(time or '0'), tonumber(left_off or '0')), q)
    if left_off then call('ZREM', served, q) end
    return true
  end
  if start then call('ZREM', owners, q) end
  if call('EXISTS', owners, 'rq:queue:' .. base) == 0 then return false end
  if start and time then
    call('ZADD', served, start, q)
    call('ZREMRANGEBYSCORE', served, '-inf', '(' .. time) -- these queues would start at the virtual time anyway
  end
  return true
end

-- The owner of the jobs in q; '' if they have none, or each has its own.
local function owner_of(q) return string.match(q, '^[^:]*:[^:]*:(.*)') or '' end

-- Gives a file of the queue q that has a task to hand out a place in the bulk lane, unless it has one: a turn after the
-- last file of its owner, but not before the next file of all.
local function join_lane(file, q)
  if not call('ZSCORE', 'mg:lane', file) then
    local owner, next_turn = owner_of(q), call('ZRANGE', 'mg:lane', 0, 0, 'WITHSCORES')[2]
    if not next_turn then call('DEL', 'mg:served:lane') end
    local turn = math.max(next_turn or 0, (call('ZSCORE', 'mg:served:lane', owner) or 0) + 1)
    call('ZADD', 'mg:lane', turn, file)
    call('ZADD', 'mg:served:lane', turn, owner)
  end
  ring('mg:bell:lane' .. pool_of(q))
end

-- The pools in which a model may have queues: that of today's environment, '', and those that have ever had jobs.
local function pools()
  local names = call('SMEMBERS', 'mg:pools')
  names[#names + 1] = ''
  return names
end

-- Whether a worker is alive that serves the pool; jobs for that of today's environment wait for one.
local function pool_lives(pool) return pool == '' or call('EXISTS', 'mg:pool' .. pool) == 1 end

-- Notes that the queue q, and thus its pool, has jobs.
local function note_queue(q)
  call('SADD', 'rq:queues', 'rq:queue:' .. q)
  local pool = pool_of(q)
  if pool ~= '' then call('SADD', 'mg:pools', pool) end
end

-- Updates ready, owners, rows and bells after the list of q has changed, and its rows by `rows`. `alone`: the caller
-- knows that no owner has jobs in queues of the same base. Returns whether the base has jobs of any owner.
local function settle(q, rows, alone)
  local kind, base = kind_of(q)
  if kind.staged then return false end -- its files are in the bulk lane
  local turns = turns_of(q) or pool_of(q)
  local all, bell = 'mg:ready' .. turns, 'mg:bell' .. turns
  if call('EXISTS', 'rq:queue:' .. q) == 0 then
    if not kind.batched then
      call('DEL', 'mg:bell:' .. base)
      return false
    end
    call('HDEL', 'mg:rows', q)
    local shared = not alone and (q ~= base or call('EXISTS', 'mg:owners:' .. base) == 1)
    if shared and share(base, q, false) then return true end
    call('ZREM', all, base)
    call('DEL', 'mg:bell:' .. base, 'mg:served:' .. base)
    if call('EXISTS', all) == 0 then call('DEL', bell) end
    return false
  end
  if kind.batched then -- scorers choose among these queues
    if rows ~= 0 then call('HINCRBY', 'mg:rows', q, rows) end
    if q ~= base then share(base, q, true) end
    if not call('ZSCORE', all, base) then call('ZADD', all, call('INCR', 'mg:turn'), base) end
    ring(bell)
  end
  ring('mg:bell:' .. base)
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
    'started_at', 'result_ttl', 'worker_name', 'reply', 'echo', 'rows', 'deadline', 'deaths', 'webhook',
    'idempotency')
  if not f[1] or not f[2] then return nil end -- f.err: its record is no hash
  return { id = id, key = 'rq:job:' .. id, status = f[1], q = f[2], version = f[3], created = f[4], enqueued = f[5],
    started = f[6], ttl = whole(f[7]) or 3600, holder = f[8], reply = f[9], echo = f[10],
    rows = whole(f[11]) or 0, deadline = whole(f[12]), deaths = whole(f[13]) or 0, webhook = f[14],
    idempotency = f[15] }
end

-- What mg:timeouts:<model> knows the rows of a prediction by. `data` is RQ's.
local function hash_of(version, data) return redis.sha1hex(version .. ' ' .. data) end

-- The indexes of ended jobs, by who has seen them. An entry moves at most once, from the first to another one.
local SEEN = { 'ended', 'fetched', 'delivered' }

local MOST_SORTED = 1000

-- Sorts the waiting jobs of a queue without turns so that its owners take turns: those that run count, too.
local function take_turns(q)
  local list, counts, jobs, ids, moved = 'rq:queue:' .. q, {}, {}, {}, false
  local function next_turn(id)
    local owner = fields_of(id, 'owner')[1] or ''
    counts[owner] = (counts[owner] or 0) + 1
    return counts[owner]
  end
  for _, entry in ipairs(call('ZRANGE', 'rq:wip:' .. q, 0, -1)) do next_turn(string.match(entry, '^[^:]*')) end
  for at, id in ipairs(call('LRANGE', list, 0, MOST_SORTED - 1)) do jobs[at] = { id = id, at = at, turn = next_turn(id) } end
  table.sort(jobs, function(a, b) return a.turn < b.turn or a.turn == b.turn and a.at < b.at end)
  for place, job in ipairs(jobs) do
    ids[#jobs + 1 - place] = job.id
    moved = moved or job.at ~= place
  end
  if not moved then return end
  call('LTRIM', list, #jobs, -1)
  call('LPUSH', list, unpack(ids))
end

-- The hash of what the unseen results of the owner of q take; nil for jobs without an owner, and for kinds whose results
-- are no rows.
local function results_of(q)
  local kind, base = kind_of(q)
  return kind.batched and q ~= base and 'mg:results:' .. string.sub(q, #base + 2) or nil
end

-- Bytes of the record of a small result; those of unseen results that an owner may have in any case; and the share of
-- Redis' memory beyond which seen results go early (SHARE in broker/sides/gateway/room.py).
local SMALL, FLOOR, ROOM = 650, 1048576, 0.7
local unseen, unseen_bytes = {}, 0 -- bytes of results that this script has added, by hash, and of all
local memory

-- Whether a result finds room: within the share of its owner, nine bytes for each that stays free, else in all of Redis.
-- `key`: `results_of` its queue.
local function has_room(key, size)
  local mine = key and size + (unseen[key] or 0) + (whole(redis.pcall('HGET', key, '')) or 0)
  if key and mine <= FLOOR then return true end
  memory = memory or call('INFO', 'memory')
  local most, used = tonumber(string.match(memory, '\nmaxmemory:(%d+)')), string.match(memory, 'used_memory:(%d+)')
  local taken = used + unseen_bytes + size
  return most == 0 or key and mine <= PER_FREE * (ROOM * most - taken) or not key and taken <= most
end

-- Lets results of q that leave the index of those that no client has seen count no more. A worker may have made the hash
-- something else.
local function uncount(q, ids)
  local key, bytes = results_of(q), 0
  local sizes = key and #ids > 0 and redis.pcall('HMGET', key, unpack(ids))
  if not sizes or sizes.err then return end
  for _, size in ipairs(sizes) do bytes = bytes + (whole(size) or SMALL) end
  call('HDEL', key, unpack(ids))
  local left = redis.pcall('HINCRBY', key, '', -bytes)
  if type(left) ~= 'number' or left <= 0 then call('DEL', key) end
end

-- Removes a job from the indexes of its queue; `status` is RQ's, nil: any.
local function forget(id, q, status)
  for _, one in ipairs(status and { status } or { 'finished', 'failed', 'canceled' }) do
    for _, seen in ipairs(SEEN) do
      local gone = call('ZREM', 'mg:' .. seen .. ':' .. one .. ':' .. q, id)
      if gone == 1 and seen == 'ended' then uncount(q, { id }) end
    end
  end
end

-- Removes the oldest entries of an index while their jobs have expired, at most `most`. Returns whether there may be
-- more.
local function trim(index, most)
  local gone, first, q = {}, call('ZRANGE', index, 0, 0)[1], string.match(index, '^mg:ended:[^:]*:(.*)')
  if not first or call('EXISTS', 'rq:job:' .. first) == 1 then return false end
  for _, id in ipairs(call('ZRANGE', index, 0, most - 1)) do
    if call('EXISTS', 'rq:job:' .. id) == 1 then break end
    gone[#gone + 1] = id
  end
  if #gone > 0 then call('ZREMRANGEBYRANK', index, 0, #gone - 1) end
  if q then uncount(q, gone) end
  return #gone == most
end

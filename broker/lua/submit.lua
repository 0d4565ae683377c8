-- SUBMIT: jobs of one key enter the queue of their model and owner, unless it is full or a limit of the key is reached.
-- While no job waits, a scorer that waits gets them at once, as if it had taken them (TAKE).
--
-- Reads mg:timeouts:<model>, mg:pool<pool>, mg:results:<owner>. Writes rq:job:<id>, rq:queue:<q>, rq:queues (SET), mg:pools, the deadlines,
-- mg:rate:<key>:<model>, mg:idempotency:<owner>:<hash>; mg:rows, mg:ready, mg:owners:<base>, mg:turn and the bells; mg:idle,
-- mg:batch:<inc>, mg:held:<inc>, rq:wip:<q>, rq:worker:<inc>.
-- ARGV: q, model, timeout (s), result TTL (s), most rows that may wait for the model, most rows that an owner may have
--   waiting for each row that is free (its first row only needs a free one); the id of the key, and its limits ('' for
--   none): rows waiting and jobs in flight of its owner, rows a second; then for each job
--   id, created_at (RQ's text), rows, version, data, echo (JSON or ''), reply (a channel or ''),
--   ms after which it expires unless it has started (or ''), the ids of its request (or ''), further fields of
--   rq:job:<id> (a JSON object of texts, or '').
-- Returns syncing(), and for each job 1 (accepted, now or before: repeating is harmless), what `earlier` answers for one
--   with the field `idempotency`, or what refuses it: 'no_worker' (none serves its pool), 'timed_out' (its rows have,
--   twice), 'results' (unseen ones of its owner take their share), or the limit 'queue', 'rows_waiting', 'jobs_in_flight' or 'rows_per_second'. If the key has a limit of rows a
--   second, each of these is in a list with: rows that may be sent now, µs until the rows of a whole second may, µs until
--   this job may.
-- A full Redis refuses it: its first write is an HSET.
local SECOND = 1000000
local FIRST, EACH, NONE = 11, 10, {}
local MOST_IDLE = 8 -- scorers that wait, and are looked at
local MOST_HANDED = 65536 -- bytes of a batch; the scorer reads a larger one from its jobs
local LIMITS = '^(%d+)|(%d+)|([^|]*)|([^|]*)|([^|]*)|([^|]*)$' -- what TAKE has noted of one
local q, model, timeout, ttl, most, per_free = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local most_waiting, most_in_flight, rate = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local kind, base = kind_of(q)
local rate_key = 'mg:rate:' .. ARGV[7] .. ':' .. model
local timed_out = call('EXISTS', 'mg:timeouts:' .. model) == 1
local answers, ids, charged = {}, {}, false

local share = results_of(q)
local has_share = not share or has_room(share, 0)
local own_pool, turns = pool_of(q), turns_of(q)
local no_worker = not pool_lives(own_pool)

-- Rows that wait for the model and jobs in flight, of this owner and of the others, in all pools.
local mine, others, in_flight = 0, 0, 0
local function rows_of(queue) return tonumber(call('HGET', 'mg:rows', queue) or '0') end
local function add(own, pool_base)
  mine = mine + rows_of(own)
  for _, one in ipairs(call('ZRANGE', 'mg:owners:' .. pool_base, 0, -1)) do
    if one ~= own and one ~= pool_base then others = others + rows_of(one) end
  end
  if own ~= pool_base then others = others + rows_of(pool_base) end
  if most_in_flight then in_flight = in_flight + call('LLEN', 'rq:queue:' .. own) + call('ZCARD', 'rq:wip:' .. own) end
end
add(q, base)
for _, pool in ipairs(pools()) do
  if pool ~= own_pool then
    local other = string.match(base, '^[^:]*:') .. model .. pool
    add(other .. string.sub(q, #base + 1), other)
  end
end

-- µs by which the rows sent are ahead of the rate: the theoretical arrival time of the generic cell rate algorithm
-- (ITU-T I.371), less the time of this script.
local ahead = rate and math.max(0, tonumber(call('GET', rate_key) or '0') - now())

-- Whether these rows have timed out twice lately.
local function took_too_long(version, data)
  -- A worker may have made the key something else.
  local until_ms = redis.pcall('ZSCORE', 'mg:timeouts:' .. model, '2:' .. hash_of(version, data))
  return type(until_ms) == 'string' and tonumber(until_ms) > now_ms()
end

local gone = {} -- scorers that are left out, and forgotten later: the first write is to be an HSET
-- The last scorer that began to wait for a batch, of those that may have one of this queue, and the most jobs and rows of
-- it; none while other jobs wait. The last one, because its memory is in the processor's caches.
local function idle_scorer()
  if call('EXISTS', 'mg:ready' .. turns) == 1 then return end
  local listed, mapped = ' ' .. base .. ' ', ' ' .. base .. '='
  for _, inc in ipairs(redis.pcall('ZREVRANGE', 'mg:idle' .. turns, 0, MOST_IDLE - 1)) do
    local limits = redis.pcall('GET', 'mg:limits:' .. inc)
    local jobs, all, some, only, skip, homes = string.match(type(limits) == 'string' and limits or '', LIMITS)
    if not jobs or call('EXISTS', 'mg:lease:' .. inc) == 0 then
      gone[#gone + 1] = inc
    elseif (only == '' or string.find(only, listed, 1, true)) and not string.find(skip, listed, 1, true)
      and not string.find(homes, mapped, 1, true) then
      local _, last = string.find(some, mapped, 1, true)
      return inc, tonumber(jobs), tonumber(last and string.match(some, '^%d+', last + 1) or all)
    end
  end
end

local taker, most_jobs, most_rows = idle_scorer()
local batch, owned, running, rows_handed = { base, '', '' }, {}, {}, 0 -- what the scorer gets
local queued, rows_queued = {}, 0 -- what enters the queue
local started = taker and { 'started_at', stamp(), 'worker_name', taker }

-- Adds a job to the batch of the scorer that waits. Returns false if it does not fit, as none does from then on.
local function hand_over(id, rows, version, data, request)
  local count = #owned / 2
  rows_handed = rows_handed + rows
  if count > 0 and batch[3] == '' then
    batch[3] = version ~= batch[2] and 'version' or count == most_jobs and 'jobs'
      or rows_handed > most_rows and 'rows' or ''
  end
  if batch[3] ~= '' then return false end
  batch[2] = version
  owned[2 * count + 1], owned[2 * count + 2] = count, id
  running[2 * count + 1], running[2 * count + 2] = '+inf', id .. ':' .. taker
  batch[#batch + 1], batch[#batch + 2], batch[#batch + 3] = id, data, request
  return true
end

for at = FIRST, #ARGV, EACH do
  local id, rows, answer = ARGV[at], tonumber(ARGV[at + 2]), 1
  -- µs until the rate allows these rows: while they are within a second, or, if they are more, once nothing is ahead.
  local wait = rate and math.max(0, math.min(ahead, ahead + rows * SECOND / rate - SECOND))
  local key, waiting = 'rq:job:' .. id, mine + rows_queued + rows
  local left, further = most - others - waiting, ARGV[at + 9]
  local fields = further ~= '' and cjson.decode(further) or NONE
  local known = fields.idempotency and earlier(id, fields.idempotency)
  if call('EXISTS', key) == 1 then
    answer = 1
  elseif known then
    answer = known
  elseif no_worker then
    answer = 'no_worker'
  elseif timed_out and took_too_long(ARGV[at + 3], ARGV[at + 4]) then
    answer = 'timed_out'
  elseif left < 0 or q ~= base and waiting > math.max(1, per_free * left) then
    answer = 'queue'
  elseif not has_share then
    answer = 'results'
  elseif most_waiting and waiting > most_waiting then
    answer = 'rows_waiting'
  elseif most_in_flight and in_flight + #ids >= most_in_flight then
    answer = 'jobs_in_flight'
  elseif rate and wait >= 1 then
    answer = 'rows_per_second'
  else
    local version, echo, expires, request = ARGV[at + 3], ARGV[at + 5], ARGV[at + 7], ARGV[at + 8]
    ids[#ids + 1] = id
    local starts = taker and hand_over(id, rows, version, ARGV[at + 4], request)
    call('HSET', key, 'data', ARGV[at + 4], 'origin', q, 'status', starts and 'started' or 'queued', 'rows', rows,
      'version', version, 'created_at', ARGV[at + 1], 'enqueued_at', stamp(), 'timeout', timeout, 'result_ttl', ttl,
      'failure_ttl', ttl, 'description', model .. '@' .. version, 'reply', ARGV[at + 6], 'caller', ARGV[7],
      unpack(starts and started or NONE))
    if echo ~= '' then call('HSET', key, 'echo', echo) end
    if request ~= '' then call('HSET', key, 'request', request) end
    for name, value in pairs(fields) do call('HSET', key, name, value) end
    if fields.idempotency then remember(fields.idempotency, id, KEEP_UNENDED_JOBS) end
    if expires ~= '' then
      local deadline = now_ms() + expires
      call('HSET', key, 'deadline', deadline)
      if not starts then call('ZADD', kind.deadlines, deadline, id) end
    end
    if not starts then
      queued[#queued + 1] = id
      rows_queued = rows_queued + rows
    end
    if rate then ahead, charged = ahead + rows * SECOND / rate, true end
  end
  if rate then
    local free = math.max(0, floor((SECOND - ahead) * rate / SECOND + 0.001))
    answer = { answer, free, math.ceil(ahead), math.ceil(wait) }
  end
  answers[#answers + 1] = answer
end

if #ids > 0 then note_queue(q) end
if #ids > 0 and #gone > 0 then call('ZREM', 'mg:idle' .. turns, unpack(gone)) end
if #owned > 0 then
  local sizes, bytes = {}, 0
  if batch[3] == '' then batch[3] = 'empty' end
  for number, text in ipairs(batch) do
    sizes[number] = #text
    bytes = bytes + #text
  end
  call('ZADD', 'mg:held:' .. taker, unpack(owned))
  call('ZADD', 'rq:wip:' .. q, unpack(running))
  call('ZREM', 'mg:idle' .. turns, taker)
  local text = bytes <= MOST_HANDED and table.concat(sizes, ' ') .. '\n' .. table.concat(batch) or batch[3]
  redis.pcall('RPUSH', 'mg:batch:' .. taker, text)
  note_model(taker, q)
end
if #queued > 0 then
  call('RPUSH', 'rq:queue:' .. q, unpack(queued))
  settle(q, rows_queued)
end
if charged then call('SET', rate_key, string.format('%.0f', floor(now() + ahead)), 'PX', math.ceil(ahead / 1000)) end
return { syncing(), answers }

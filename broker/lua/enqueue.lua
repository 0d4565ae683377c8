-- ENQUEUE: a job enters a queue from which BEGIN takes, or TAKE_TASK its tasks. Owners take turns.
--
-- A full Redis accepts it as well, because these jobs repair: a rollback, a training. But their records stay for a
-- while, so a full Redis accepts only some of each queue an hour: as many as cost `SPARE` bytes.
--
-- Reads mg:pool<pool>. Writes rq:job:<id>, rq:queue:<q>, rq:queues (SET), mg:pools, the deadlines and the bell of q,
-- mg:spare:<q>, mg:idempotency:<owner>:<hash>; for a file mg:lane, mg:served:lane and mg:bell:lane<pool>.
-- ARGV: q, id, ms after which it expires unless it has begun (or ''), its owner (or ''), most jobs of the owner that may
--   wait in q (or ''; files and kinds with running_count: wait or run), then fields and values of rq:job:<id>, as RQ makes them.
-- Returns syncing(), and 1 (accepted, now or before: repeating is harmless), 0 (the owner has reached its limit of
--   jobs), 'no_worker' (none serves its pool), or what `earlier` answers for a job with the field `idempotency`. The error
--   OOM if Redis is full and the hour's bytes are spent.
local SPARE, HOUR = 8388608, 3600
local EACH, EACH_LOG = 16384, 262144 -- bytes that a job may write later: its outcome, and its log
local q, id, expires, owner, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local FIRST = 6 -- of the fields
local key, spare = 'rq:job:' .. id, 'mg:spare:' .. q

-- Whether the hour has bytes left for this job, which are spent then.
local function spend()
  local cost = kind_of(q).logged and EACH_LOG or EACH
  for i = FIRST, #ARGV do cost = cost + #ARGV[i] end
  if (whole(call('HGET', spare, 'bytes')) or 0) + cost > SPARE then return false end
  allow_when_full()
  if call('HINCRBY', spare, 'bytes', cost) == cost then call('EXPIRE', spare, HOUR) end
  return true
end

-- Whether the owner has as many jobs as it may have.
local function limit_reached()
  local list, wip = 'rq:queue:' .. q, 'rq:wip:' .. q
  if kind_of(q).staged then
    local count, before, after = 0, string.match(q, '^([^:]*:[^:~]*)[^:]*(.*)')
    for _, pool in ipairs(pools()) do
      local own = before .. pool .. after
      count = count + call('LLEN', 'rq:queue:' .. own) + call('ZCARD', 'rq:wip:' .. own)
    end
    return count >= most
  end
  local ids = call('LRANGE', list, 0, -1)
  for _, entry in ipairs(kind_of(q).running_count and call('ZRANGE', wip, 0, -1) or {}) do
    ids[#ids + 1] = string.match(entry, '^[^:]*')
  end
  local found = 0
  for _, other in ipairs(ids) do
    if (fields_of(other, 'owner')[1] or '') == owner then found = found + 1 end
  end
  return found >= most
end

if call('EXISTS', key) == 1 then return { syncing(), 1 } end
local idempotency
for i = FIRST, #ARGV, 2 do
  if ARGV[i] == 'idempotency' then idempotency = ARGV[i + 1] end
end
local known = idempotency and earlier(id, idempotency)
if known then return { syncing(), known } end
if not pool_lives(pool_of(q)) then return { syncing(), 'no_worker' } end
if most and limit_reached() then return { syncing(), 0 } end
local stored = redis.pcall('HSET', key, unpack(ARGV, FIRST))
if type(stored) == 'table' then -- an error
  if not string.find(stored.err, 'OOM ', 1, true) or not spend() then return stored end
  call('HSET', key, unpack(ARGV, FIRST))
end
if owner ~= '' then call('HSET', key, 'owner', owner) end
if idempotency then remember(idempotency, id, KEEP_UNENDED_JOBS) end
call('HSET', key, 'origin', q, 'status', 'queued', 'enqueued_at', stamp())
if expires ~= '' then
  local deadline = now_ms() + expires
  call('HSET', key, 'deadline', deadline)
  call('ZADD', kind_of(q).deadlines, deadline, id)
end
call('RPUSH', 'rq:queue:' .. q, id)
note_queue(q)
settle(q, 0)
if kind_of(q).staged then join_lane(id, q) else take_turns(q) end
return { syncing(), 1 }

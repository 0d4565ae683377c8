-- RECONCILE: repairs one queue after stock RQ commands (cancel, requeue, empty, delete), takes over RQ's registries from
-- an older release, and trims the indexes even if no other script runs.
--
-- Writes rq:queues, rq:wip:<q>, mg:held:<inc>, rq:queue:<q>, rq:job:<id>, rq:results:<id>, the deadlines,
-- rq:workers:<q>, rq:finished|failed|canceled:<q>, the indexes; mg:ready, mg:turn, mg:owners:<base>, mg:rows and the
-- bells; publishes to the reply channels of jobs that stock RQ cancelled.
-- ARGV: q, position in the list at which to continue, most jobs to look at.
-- Returns the position at which to continue, 0 at the end. Rows are counted again only if one call sees the whole list;
-- a longer list becomes short enough at some time.
local q, from, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local list, kind, base = 'rq:queue:' .. q, kind_of(q)
allow_when_full()

local function check_running()
  for _, entry in ipairs(call('ZRANGE', 'rq:wip:' .. q, 0, -1)) do
    local id, inc = string.match(entry, '^(.*):(.-)$')
    local job = id and read(id)
    if not (job and job.status == 'started' and job.holder == inc and call('ZSCORE', 'mg:held:' .. inc, id)) then
      call('ZREM', 'rq:wip:' .. q, entry)
      if id then call('ZREM', 'mg:held:' .. inc, id) end
    end
  end
end

-- Moves a job out of a registry of RQ, where an older release or stock RQ has put it until it `expires`. A job that stock
-- RQ cancelled would never expire: RQ writes no `ended_at`.
local function take_over(id, status, expires)
  local job = read(id)
  if not job or job.status ~= status then return end
  local ended_at = fields_of(id, 'ended_at')[1]
  if ended_at and ended_at ~= '' then
    call('ZADD', 'mg:ended:' .. status .. ':' .. q, expires - job.ttl, id)
  elseif status == 'canceled' then
    if job.started == '' then revive(id, q) end
    cancel(job)
  end
end

local function check_registries()
  local more = false
  for _, status in ipairs({ 'finished', 'failed', 'canceled' }) do
    local registry = 'rq:' .. status .. ':' .. q
    local taken = call('ZRANGE', registry, 0, most - 1, 'WITHSCORES')
    for i = 1, #taken, 2 do take_over(taken[i], status, taken[i + 1]) end
    if #taken > 0 then call('ZREMRANGEBYRANK', registry, 0, #taken / 2 - 1) end
    more = more or #taken == 2 * most
    for _, seen in ipairs(SEEN) do more = trim('mg:' .. seen .. ':' .. status .. ':' .. q, most) or more end
  end
  return more
end

local function check_waiting()
  local ids, rows, kept = call('LRANGE', list, from, from + most - 1), 0, 0
  for _, id in ipairs(ids) do
    local f = fields_of(id, 'status', 'rows', 'started_at')
    if f[1] == 'queued' then
      if f[3] then revive(id, q) end
      if kind.staged then join_lane(id) end
      rows = rows + (tonumber(f[2] or '') or 0)
      kept = kept + 1
    else
      call('LREM', list, 1, id)
    end
  end
  local waiting = call('LLEN', list)
  settle(q, 0)
  if waiting > 0 and from == 0 and kept == waiting then call('HSET', 'mg:rows', q, rows) end
  return from + kept < waiting and #ids > 0 and from + kept or 0
end

local function check_workers()
  call('DEL', 'rq:workers:' .. q)
  for _, inc in ipairs(call('SMEMBERS', kind_of(q).members)) do
    local queues = call('HGET', 'rq:worker:' .. inc, 'queues')
    if queues and serves(queues, q) then
      call('SADD', 'rq:workers:' .. q, 'rq:worker:' .. inc)
      call('SADD', 'rq:workers', 'rq:worker:' .. inc)
    end
  end
end

-- Removes the queue of an owner, or of files, without waiting, running and ended jobs; SUBMIT and ENQUEUE add it again.
local function forget_queue()
  for _, status in ipairs({ 'finished', 'failed', 'canceled' }) do
    for _, seen in ipairs(SEEN) do
      if call('EXISTS', 'mg:' .. seen .. ':' .. status .. ':' .. q) == 1 then return end
    end
  end
  if call('EXISTS', list, 'rq:wip:' .. q) == 0 then
    call('SREM', 'rq:queues', list)
    call('DEL', 'rq:workers:' .. q)
  end
end

if from == 0 then
  check_running()
  check_workers()
end
local position = check_waiting()
if check_registries() and position == 0 then position = call('LLEN', list) + 1 end
close()
if q ~= base then call('ZREM', 'mg:ready', q) end -- an older release knows no owners
if (q ~= base or kind.staged) and position == 0 then forget_queue() end
return position

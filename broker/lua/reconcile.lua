-- RECONCILE: repairs one queue after stock RQ commands (cancel, requeue, empty, delete), and trims the indexes even if no
-- other script runs.
--
-- Writes rq:queues, rq:wip:<q>, mg:held:<inc>, rq:queue:<q>, rq:job:<id>, the deadlines, rq:workers:<q>,
-- rq:canceled:<q>, the indexes; mg:ready, mg:turn, mg:owners:<base>, mg:rows and the
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

-- Ends a job that stock RQ has cancelled, which would never expire: RQ writes no `ended_at`, or an empty one.
local function end_cancelled(id)
  local job, ended_at = read(id), fields_of(id, 'ended_at')[1]
  if not job or job.status ~= 'canceled' or ended_at and ended_at ~= '' then return end
  if job.started == '' then revive(id, q) end
  cancel(job)
end

local function check_ended()
  local registry = 'rq:canceled:' .. q
  local ids = call('ZRANGE', registry, 0, most - 1)
  for _, id in ipairs(ids) do end_cancelled(id) end
  if #ids > 0 then call('ZREMRANGEBYRANK', registry, 0, #ids - 1) end
  local more = #ids == most
  for _, status in ipairs({ 'finished', 'failed', 'canceled' }) do
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
      if kind.staged then join_lane(id, q) end
      rows = rows + (tonumber(f[2] or '') or 0)
      kept = kept + 1
    else
      call('LREM', list, 1, id)
    end
  end
  local waiting = call('LLEN', list)
  settle(q, 0)
  if kind.batched and waiting > 0 and from == 0 and kept == waiting then call('HSET', 'mg:rows', q, rows) end
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
if check_ended() and position == 0 then position = call('LLEN', list) + 1 end
close()
if (q ~= base or kind.staged) and position == 0 then forget_queue() end
return position

-- RECONCILE: repairs one queue after stock RQ commands (cancel, requeue, empty, delete), and trims its registries even
-- if no other script runs.
--
-- Writes rq:wip:<q>, mg:held:<inc>, rq:queue:<q>, rq:job:<id>, rq:results:<id>, the deadlines, rq:workers:<q>,
-- rq:finished|failed|canceled:<q>; mg:ready, mg:turn, mg:rows and the bells; publishes to the reply channels of jobs
-- that stock RQ cancelled.
-- ARGV: q, position in the list at which to continue, most jobs to look at.
-- Returns the position at which to continue, 0 at the end. Rows are counted again only if one call sees the whole list;
-- a longer list becomes short enough at some time.
local q, from, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local list = 'rq:queue:' .. q
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

-- A job that stock RQ cancelled would never expire: RQ writes no `ended_at`, and registers it as expired at once. So no
-- other script trims this registry. Returns whether there are more.
local function check_canceled()
  local registry, moment = 'rq:canceled:' .. q, floor(now() / 1000000)
  local due = call('ZRANGEBYSCORE', registry, '-inf', moment, 'LIMIT', 0, most)
  for _, id in ipairs(due) do
    local job, ended_at = read(id), fields_of(id, 'ended_at')[1]
    if job and job.status == 'canceled' and (not ended_at or ended_at == '') then
      if job.started == '' then revive(id, job.q) end
      cancel(job, {})
    else
      call('ZREM', registry, id)
    end
  end
  return #due == most
end

local function check_waiting()
  local ids, rows, kept = call('LRANGE', list, from, from + most - 1), 0, 0
  for _, id in ipairs(ids) do
    local f = fields_of(id, 'status', 'rows', 'started_at')
    if f[1] == 'queued' then
      if f[3] then revive(id, q) end
      rows = rows + (tonumber(f[2] or '') or 0)
      kept = kept + 1
    else
      call('LREM', list, 1, id)
    end
  end
  local waiting = call('LLEN', list)
  if settle(q, 0) and from == 0 and kept == waiting then call('HSET', 'mg:rows', q, rows) end
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

if from == 0 then
  check_running()
  check_workers()
end
local position = check_waiting()
local canceled, finished, failed = check_canceled(), trim('rq:finished:' .. q), trim('rq:failed:' .. q)
if position == 0 and (canceled or finished or failed) then position = call('LLEN', list) + 1 end
close()
return position

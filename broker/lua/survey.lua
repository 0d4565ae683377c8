-- SURVEY: returns what some queues hold, for the metrics. Read-only; samples a few jobs of each queue.
--
-- Reads rq:queue:<q>, rq:wip:<q>, mg:rows, mg:loaded:<worker>, the indexes of ended jobs, and of single jobs rq:job:<id>
-- and mg:log:<id>.
-- ARGV: queues.
-- Returns for each queue: waiting jobs, their rows, enqueued_at of the oldest ('' without one), running jobs,
-- started_at of the oldest ('' without one), and the estimated bytes of its jobs: not ended; ended and unseen; fetched;
-- delivered. The oldest are those of the first SAMPLE: rows whose worker is dead wait again, although they are not given
-- back yet.
local SAMPLE = 200
local STATUSES = { 'finished', 'failed', 'canceled' }

local function bytes_of(key) return call('MEMORY', 'USAGE', key) or 0 end

local function bytes_of_job(id)
  return bytes_of('rq:job:' .. id) + bytes_of('mg:log:' .. id)
end

-- The bytes of `count` jobs like these two.
local function estimated(count, first, last)
  local each = bytes_of_job(first)
  if last and last ~= first then each = (each + bytes_of_job(last)) / 2 end
  return each * count
end

local function ended_bytes(q, seen)
  local bytes = 0
  for _, status in ipairs(STATUSES) do
    local index = 'mg:' .. seen .. ':' .. status .. ':' .. q
    local count = call('ZCARD', index)
    if count > 0 then
      local first, last = call('ZRANGE', index, 0, 0)[1], call('ZRANGE', index, -1, -1)[1]
      bytes = bytes + bytes_of(index) + estimated(count, first, last)
    end
  end
  return floor(bytes)
end

-- Whether the worker that owns a running job has reported lately.
local reported = {}
local function is_alive(entry)
  local worker = string.match(entry, '^[^:]*:(.*)%-[^-]*%-[^-]*$') or ''
  if reported[worker] == nil then reported[worker] = call('EXISTS', 'mg:loaded:' .. worker) == 1 end
  return reported[worker]
end

local function older(a, b)
  return (a == '' or b and b ~= '' and b < a) and b or a
end

local answer = {}
for _, q in ipairs(ARGV) do
  local list, wip = 'rq:queue:' .. q, 'rq:wip:' .. q
  local waiting, running = call('LLEN', list), call('ZCARD', wip)
  local rows, since, began, bytes = 0, '', '', 0
  if waiting > 0 then
    local first = call('LINDEX', list, 0)
    rows = whole(call('HGET', 'mg:rows', q)) or 0
    since = fields_of(first, 'enqueued_at')[1] or ''
    bytes = bytes_of(list) + estimated(waiting, first, call('LINDEX', list, -1))
  end
  if running > 0 then
    local entry = call('ZRANGE', wip, 0, 0)[1]
    bytes = bytes + bytes_of(wip) + estimated(running, string.match(entry, '^[^:]*'))
    local is_of_rows = kind_of(q).batched
    for _, entry in ipairs(call('ZRANGE', wip, 0, SAMPLE - 1)) do
      local times = fields_of(string.match(entry, '^[^:]*'), 'enqueued_at', 'started_at')
      if is_alive(entry) then began = older(began, times[2]) elseif is_of_rows then since = older(since, times[1]) end
    end
  end
  answer[#answer + 1] = { waiting, rows, since, running, began, floor(bytes), ended_bytes(q, 'ended'),
    ended_bytes(q, 'fetched'), ended_bytes(q, 'delivered') }
end
return answer

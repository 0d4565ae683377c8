-- TAKE: a scorer takes the next batch, jobs of one version from the queue whose turn it is, and then owns it.
--
-- Reads mg:lease:<inc>. Writes rq:queue:<q>, rq:job:<id>, mg:held:<inc>, rq:wip:<q>, rq:worker:<inc>, the deadlines;
-- mg:ready, mg:turn, mg:rows and the bells; for jobs past their deadline also the keys of EXPIRE.
-- ARGV: inc, most jobs, most rows, most rows for some queues (' predict:loan=12 predict:iris=400 '), the queues to
--   choose from (' predict:loan predict:iris ', or '' for all), the queues to skip (' predict:slow ', or '').
-- Returns {q, version, id, data, id, data, …}, or {} if no job waits; the error FENCED without a lease.
-- A batch that it owns already is returned again: the reply was lost.
local inc, most_jobs, most_rows, row_limits, only, skip = unpack(ARGV)
local held = 'mg:held:' .. inc
most_jobs = tonumber(most_jobs)
allow_when_full()

local function eligible(q)
  local name = ' ' .. q .. ' '
  return (only == '' or string.find(only, name, 1, true)) and not string.find(skip, name, 1, true)
end

local function row_limit(q)
  local name = ' ' .. q .. '='
  local at = string.find(row_limits, name, 1, true)
  return tonumber(at and string.match(row_limits, '^%d+', at + #name) or most_rows)
end

-- Rings again: the token that woke this scorer may have been the only one, and other scorers may wait for these queues.
local function pass_on()
  if only == '' and skip == '' then
    if call('EXISTS', 'mg:ready') == 1 then ring('mg:bell') end
    return
  end
  for _, q in ipairs(call('ZRANGE', 'mg:ready', 0, -1)) do
    if eligible(q) then ring('mg:bell:' .. q) end
  end
end

local function take_again()
  local answer = {}
  for _, id in ipairs(call('ZRANGE', held, 0, -1)) do
    local f = call('HMGET', 'rq:job:' .. id, 'status', 'worker_name', 'origin', 'version', 'data')
    if f[1] == 'started' and f[2] == inc then
      if #answer == 0 then answer = { f[3], f[4] } end
      answer[#answer + 1] = id
      answer[#answer + 1] = f[5]
    else -- stock RQ cancelled it
      call('ZREM', held, id)
      if f[3] then call('ZREM', 'rq:wip:' .. f[3], id .. ':' .. inc) end
    end
  end
  return answer
end

-- Looks once at the head of q. Returns {} also if all jobs there were cancelled or had expired.
local function take_from(q)
  local list, limit = 'rq:queue:' .. q, row_limit(q)
  local answer, owned, running = {}, {}, {}
  local rows, gone, passed, version = 0, 0, 0, nil
  for position, id in ipairs(call('LRANGE', list, 0, most_jobs - 1)) do
    local key = 'rq:job:' .. id
    local f = call('HMGET', key, 'status', 'rows', 'version', 'deaths', 'deadline', 'started_at', 'data')
    local size, deaths = tonumber(f[2] or '') or 0, tonumber(f[4] or '') or 0
    if f[1] ~= 'queued' then
      gone = gone + size
    elseif f[5] and not f[6] and tonumber(f[5]) <= now_ms() then
      expire(read(id))
      gone = gone + size
    elseif #owned > 0 and (deaths > 0 or f[3] ~= version or rows + size > limit) then
      break
    else
      if f[6] then revive(id, q) elseif f[5] then call('ZREM', kind_of(q).deadlines, id) end
      call('HSET', key, 'status', 'started', 'started_at', stamp(), 'worker_name', inc)
      if #owned == 0 then
        version = f[3]
        answer = { q, version or '' }
      end
      answer[#answer + 1] = id
      answer[#answer + 1] = f[7] or ''
      owned[#owned + 1] = position
      owned[#owned + 1] = id
      running[#running + 1] = '+inf'
      running[#running + 1] = id .. ':' .. inc
      rows = rows + size
      if deaths > 0 then
        passed = position
        break
      end
    end
    passed = position
  end
  call('LTRIM', list, passed, -1)
  if #owned > 0 then
    call('ZADD', held, unpack(owned))
    call('ZADD', 'rq:wip:' .. q, unpack(running))
  end
  if settle(q, -rows - gone) and #owned > 0 then call('ZADD', 'mg:ready', call('INCR', 'mg:turn'), q) end
  return answer
end

if call('EXISTS', 'mg:lease:' .. inc) == 0 then
  pass_on()
  return redis.error_reply('FENCED ' .. inc .. ' has no lease')
end
local answer = take_again()
if #answer == 0 then
  for _, q in ipairs(call('ZRANGE', 'mg:ready', 0, -1)) do
    if eligible(q) then
      local looks = 0
      repeat
        answer, looks = take_from(q), looks + 1
      until #answer > 0 or looks == 16 or call('EXISTS', 'rq:queue:' .. q) == 0
      if #answer > 0 then break end
    end
  end
end
if #answer > 0 then call('HSET', 'rq:worker:' .. inc, 'state', 'busy') end
pass_on()
close()
return answer

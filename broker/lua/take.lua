-- TAKE: a scorer becomes the owner of the next batch: jobs of one model and version, from the queue whose turn it is.
--
-- Reads mg:lease:<inc>. Writes rq:queue:<q>, rq:job:<id>, mg:held:<inc>, rq:wip:<q>, rq:worker:<inc>, mg:deadlines;
-- mg:ready, mg:turn, mg:rows and the bells; for jobs past their deadline what EXPIRE writes.
-- ARGV: inc, most jobs, most rows, rows of single models (' loan=12 iris=400 '), the models to choose from
--   (' loan iris ', or '' for all), models to leave out (' slow ' or '').
-- Answers {q, version, id, data, id, data, …}, or {} when nothing waits; the error FENCED without a lease.
-- What is held already is answered again: the reply was lost.
local inc, most_jobs, most_rows, by_model, only, without = unpack(ARGV)
local held = 'mg:held:' .. inc
most_jobs = tonumber(most_jobs)
allow_when_full()

local function eligible(q)
  local name = ' ' .. string.sub(q, 9) .. ' '
  return (only == '' or string.find(only, name, 1, true)) and not string.find(without, name, 1, true)
end

local function row_limit(q)
  local name = ' ' .. string.sub(q, 9) .. '='
  local at = string.find(by_model, name, 1, true)
  return tonumber(at and string.match(by_model, '^%d+', at + #name) or most_rows)
end

-- The token that woke this scorer may have been the only one: whoever else waits for these queues needs another.
local function pass_on()
  if only == '' and without == '' then
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

-- One look at the head of q; {} also when it found only what is not to be scored any more.
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
      if f[6] then revive(id, q) elseif f[5] then call('ZREM', 'mg:deadlines', id) end
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

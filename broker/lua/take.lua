-- TAKE: a scorer takes the next batch, jobs of one version of the model whose turn it is, and then owns it. Owners whose
-- jobs wait for the same model share it by rows: start-time fair queueing (Goyal, Vin and Cheng 1996; ADR 44).
--
-- Reads mg:lease:<inc>. Writes rq:queue:<q>, rq:job:<id>, mg:held:<inc>, rq:wip:<q>, rq:worker:<inc>, the deadlines;
-- mg:ready, mg:turn, mg:owners:<base>, mg:served:<base>, mg:rows and the bells; mg:idle, mg:limits:<inc>,
-- mg:batch:<inc>; for jobs past their deadline also the keys of EXPIRE.
-- ARGV: inc; 'next', 'owned' (no batch but one that it owns already) or 'wait' (SUBMIT may hand it a batch if there is
--   none now); most jobs, most rows; then of bases: most rows for some (' predict:loan=12 predict:iris=400 '), those to
--   choose from (' predict:loan predict:iris ', or '' for all), those to skip (' predict:slow ', or ''), those whose
--   model another scorer has in memory (' predict:tree=w-1 ', or ''); µs that their jobs wait for that scorer; the
--   turns, of predictions or of explanations, in the pool of the scorer.
-- Returns {queue, version, what ended the batch, id, data, ids of the request (or ''), id, …}, or {} if no job waits; the
-- error FENCED without a lease. A batch that it owns already is returned again: the reply was lost, or SUBMIT has handed
-- it over. With 'wait', a BLPOP of mg:batch:<inc> behind this call does not wait if there is a batch.
local MOST_QUEUES = 100 -- of owners that share a batch
local LONGEST_WAIT = 3 -- seconds; a scorer that has not asked since is dead, even if its lease still lives
local PART = 8 -- of a batch that is left while owners share a model: one that comes waits for the batches that run
local inc, wanted, most_jobs, most_rows, row_limits, only, skip, homes, patience, turns = unpack(ARGV)
local ready, common = 'mg:ready' .. turns, 'mg:bell' .. turns
local held = 'mg:held:' .. inc
most_jobs = tonumber(most_jobs)
allow_when_full()

local function eligible(q)
  local name = ' ' .. q .. ' '
  return (only == '' or string.find(only, name, 1, true)) and not string.find(skip, name, 1, true)
end

-- The scorer that has the model of q in memory, if it is another one.
local function home(q)
  local name = ' ' .. q .. '='
  local at = string.find(homes, name, 1, true)
  return at and string.match(homes, '^%S+', at + #name)
end

-- Whether the oldest job of an owner's queue of base has waited for its home long enough.
local function impatient(base)
  local latest = stamp_of(now() - patience)
  for _, q in ipairs({ base, unpack(call('ZRANGE', 'mg:owners:' .. base, 0, MOST_QUEUES - 1)) }) do
    local oldest = call('LRANGE', 'rq:queue:' .. q, 0, 0)[1]
    local enqueued = oldest and fields_of(oldest, 'enqueued_at')[1]
    if enqueued and enqueued <= latest then return true end
  end
  return false
end

local function row_limit(q)
  local name = ' ' .. q .. '='
  local at = string.find(row_limits, name, 1, true)
  return tonumber(at and string.match(row_limits, '^%d+', at + #name) or most_rows)
end

-- Rings again: the token that woke this scorer may have been the only one, and other scorers may wait for these queues.
-- For a queue with a home it rings there, because this scorer would answer the common bell over and over.
local function pass_on()
  local all = only == '' and skip == ''
  if all and homes == '' then
    if call('EXISTS', ready) == 1 then ring(common) end
    return
  end
  local rung = {}
  for _, q in ipairs(call('ZRANGE', ready, 0, -1)) do
    local place = all and home(q)
    local bell = place and 'mg:bell:scorer:' .. place or all and common or 'mg:bell:' .. q
    if eligible(q) and not rung[bell] then
      ring(bell)
      if place then call('EXPIRE', bell, 60) end -- a worker may never come back
      rung[bell] = true
    end
  end
end

local function take_again()
  local answer = {}
  for _, id in ipairs(call('ZRANGE', held, 0, -1)) do
    local f = call('HMGET', 'rq:job:' .. id, 'status', 'worker_name', 'origin', 'version', 'data', 'request')
    if f[1] == 'started' and f[2] == inc and f[3] then
      if turns_of(f[3]) == turns then -- it may own an explanation or a task of a file, too
        if #answer == 0 then answer = { f[3], f[4], 'again' } end
        answer[#answer + 1] = id
        answer[#answer + 1] = f[5]
        answer[#answer + 1] = f[6] or ''
      end
    else -- stock RQ cancelled it
      call('ZREM', held, id)
      if f[3] then call('ZREM', 'rq:wip:' .. f[3], id .. ':' .. inc) end
    end
  end
  return answer
end

-- The queues of owners from which a batch of base is filled, the next one first. `start` is where its next job starts, in
-- virtual rows.
local function line_of(base, owners)
  if call('EXISTS', 'rq:queue:' .. base) == 1 then share(base, base, true) end
  local found, line = call('ZRANGE', owners, 0, MOST_QUEUES - 1, 'WITHSCORES'), {}
  for i = 1, #found, 2 do
    line[#line + 1] = { q = found[i], start = tonumber(found[i + 1]), passed = 0, rows = 0, running = {} }
  end
  return line
end

-- Fills a batch from the line, always with the job that starts first. A queue whose next job needs a batch of its own or
-- another version is left out. Returns what ended the batch, if it was a job.
local function fill(batch, line, most, limit)
  local owned, count, rows, looks, first, left = batch.owned, 3, 0, 0, 1, nil
  local window = math.ceil(most / #line) -- of a list, that is read at once
  while line[first] and looks < most do
    local one = line[first]
    if not one.ids or one.at > #one.ids and #one.ids == window then
      one.ids, one.at = call('LRANGE', 'rq:queue:' .. one.q, one.passed, one.passed + window - 1), 1
    end
    local id = one.ids[one.at]
    local f = id and call('HMGET', 'rq:job:' .. id, 'status', 'rows', 'version', 'deaths', 'deadline', 'started_at',
      'data', 'request')
    local size, deaths = id and tonumber(f[2] or '') or 0, id and tonumber(f[4] or '') or 0
    local expired = id and f[1] == 'queued' and f[5] and not f[6] and tonumber(f[5]) <= now_ms()
    local runs = id and f[1] == 'queued' and not expired
    if not id or runs and count > 3 and (deaths > 0 or f[3] ~= batch[2]) then
      left = left or id and (deaths > 0 and 'death' or 'version')
      first = first + 1
    elseif runs and count > 3 and rows + size > limit then
      return 'rows'
    else
      looks = looks + 1
      one.at, one.passed, one.rows = one.at + 1, one.passed + 1, one.rows + size
      if expired then expire(read(id)) end
      if runs then
        if f[6] then revive(id, one.q) elseif f[5] then call('ZREM', kind_of(one.q).deadlines, id) end
        call('HSET', 'rq:job:' .. id, 'status', 'started', 'started_at', stamp(), 'worker_name', inc)
        if count == 3 then batch[2] = f[3] or '' end
        owned[#owned + 1], owned[#owned + 2] = count, id
        one.running[#one.running + 1], one.running[#one.running + 2] = '+inf', id .. ':' .. inc
        batch[count + 1], batch[count + 2], batch[count + 3] = id, f[7] or '', f[8] or ''
        count, rows = count + 3, rows + size
        if one.start then
          batch.time = math.max(batch.time, one.start)
          one.start = one.start + math.max(size, 1)
        end
        if deaths > 0 then return 'death' end
        local place = first
        while line[place + 1] and line[place + 1].start <= one.start do -- those go before its next job
          line[place] = line[place + 1]
          place = place + 1
        end
        line[place] = one
      end
    end
  end
  return not line[first] and left
end

-- Takes a batch from base, if it looks at most at `most_jobs` jobs: {} also if all these were cancelled or had expired.
local function take_from(base)
  local owners, batch, line, more = 'mg:owners:' .. base, { base, '', '', owned = {}, time = 0 }, nil, nil
  local shared = call('EXISTS', owners) == 1
  if shared then line = line_of(base, owners) else line = { { q = base, passed = 0, rows = 0, running = {} } } end
  local part = shared and call('ZSCORE', 'mg:served:' .. base, SEVERAL) and PART or 1
  local left = fill(batch, line, math.ceil(most_jobs / part), math.max(1, floor(row_limit(base) / part)))
  local taken = #batch.owned > 0
  if taken then call('ZADD', held, unpack(batch.owned)) end
  if taken and shared then call('ZADD', 'mg:served:' .. base, 'GT', batch.time, '') end
  for _, one in ipairs(line) do
    if one.ids then -- it was the first of the line
      call('LTRIM', 'rq:queue:' .. one.q, one.passed, -1)
      if #one.running > 0 then call('ZADD', 'rq:wip:' .. one.q, unpack(one.running)) end
      if shared then call('ZADD', owners, one.start, one.q) end
      more = settle(one.q, -one.rows, not shared)
    end
  end
  if not taken then return {} end
  batch[3] = left or (more and 'jobs' or 'empty')
  if more then call('ZADD', ready, call('INCR', 'mg:turn'), base) end
  return batch
end

-- Takes from the first queue whose turn it is, of those that are `wanted`.
local function take_first(wanted)
  for _, q in ipairs(call('ZRANGE', ready, 0, -1)) do
    if eligible(q) and wanted(q) then
      local answer, looks = {}, 0
      repeat
        answer, looks = take_from(q), looks + 1
      until #answer > 0 or looks == 16 or not call('ZSCORE', ready, q)
      if #answer > 0 then return answer end
    end
  end
  return {}
end

call('DEL', 'mg:batch:' .. inc)
redis.pcall('ZREM', 'mg:idle' .. turns, inc) -- another worker may have made it something else
if call('EXISTS', 'mg:lease:' .. inc) == 0 then
  pass_on()
  return redis.error_reply('FENCED ' .. inc .. ' has no lease')
end
local answer = take_again()
if #answer == 0 and wanted ~= 'owned' then answer = take_first(function(q) return not home(q) end) end
if #answer == 0 and wanted ~= 'owned' and homes ~= '' then answer = take_first(impatient) end
if #answer > 0 then note_model(inc, answer[1]) end
pass_on()
close()
if wanted == 'wait' and #answer > 0 then call('RPUSH', 'mg:batch:' .. inc, '') end
if wanted == 'wait' and #answer == 0 then
  local limits = table.concat({ most_jobs, most_rows, row_limits, only, skip, homes }, '|')
  call('SET', 'mg:limits:' .. inc, limits, 'EX', LONGEST_WAIT)
  redis.pcall('ZREMRANGEBYSCORE', 'mg:idle' .. turns, '-inf', now() - LONGEST_WAIT * 1000000)
  redis.pcall('ZADD', 'mg:idle' .. turns, now(), inc)
end
return answer

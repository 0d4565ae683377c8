-- FINISH: jobs end with their outcomes. Only the owner of a started job can finish it, and only once.
--
-- Reads the members. Writes mg:held:<inc>, rq:wip:<q>, rq:job:<id>, the indexes, mg:results:<owner>, rq:worker:<inc>, the
-- counters; publishes to the reply channels of the jobs. Writes mg:logged, mg:logged:bytes, mg:logged:since and mg:shadow:….
-- ARGV: the key of the members (mg:incs or mg:trainers), inc, the number of jobs; then for each job: id, '1' (succeeded)
--   or '2' (failed), the output or failure as JSON; then, if the prediction log gets any of them: their version, such as
--   'loan@3', and for each record: its number of rows, the record, the experiment whose candidate scores the rows or '',
--   the record with all inputs if some are left out.
-- Returns for each job 1 (written; also if this incarnation had written it before: the reply was lost) or 0 (it was
-- cancelled meanwhile); {2} for a task of a file that has to wait for the observer: nothing is written then; the error
-- FENCED if the incarnation was given back.
local inc = ARGV[2]
local held = 'mg:held:' .. inc
allow_when_full()
if call('SISMEMBER', ARGV[1], inc) == 0 then return redis.error_reply('FENCED ' .. inc .. ' was given back') end

-- Milliseconds for which files wait for an observer that takes nothing.
local PATIENCE = 120000
local SINCE = 'mg:logged:since'

-- Whether the observer has taken records since a file first had to wait for it, or may still do so.
local function observer_may_come()
  call('SET', SINCE, now_ms(), 'NX')
  local since = whole(redis.pcall('GET', SINCE))
  return since and now_ms() - since < PATIENCE
end

-- Whether there is room for a result. Only one of rows that takes more than twice what they did needs some.
local function fits(job, size)
  return size <= PARTS * PART or not kind_of(job.q).batched
    or size <= 2 * (call('HSTRLEN', job.key, 'data') + SMALL) or has_room(results_of(job.q), 2 * SMALL + size)
end

local function too_large(size)
  return cjson.encode({ code = 'redis_full', details = {}, message = string.format('its result of %d KB finds no room in '
    .. 'Redis; read or delete earlier results of your owner, send fewer rows, or send a file', size / 1024) })
end

local after_jobs = 4 + 3 * ARGV[3]
local most = MOST_LOGGED
if ARGV[after_jobs] then
  local first = read(ARGV[4])
  local of_chunk = first and kind_of(first.q).task
  if of_chunk and (whole(redis.pcall('GET', 'mg:logged:bytes')) or 0) > MOST_LOGGED_BEFORE then
    if first.holder == inc and observer_may_come() then return { 2 } end
    most = 0
  end
end

local owned, not_ended = {}, {}
for _, id in ipairs(call('ZRANGE', held, 0, -1)) do owned[id] = true end
local answers, released, running = {}, {}, {}
local succeeded, failed = 0, 0

for i = 4, after_jobs - 1, 3 do
  local id, good, json = ARGV[i], ARGV[i + 1] == '1', ARGV[i + 2]
  local job = read(id)
  local mine, now_ended = job and job.holder == inc, false
  if owned[id] then
    owned[id] = nil
    released[#released + 1] = id
    if job then running[job.q] = running[job.q] or {}; table.insert(running[job.q], id .. ':' .. inc) end
    if mine and job.status == 'started' then
      if good and fits(job, #json) then
        conclude(job, 'finished', '"result":' .. json)
        succeeded, now_ended = succeeded + 1, true
      else
        fail(job, good and too_large(#json) or json)
        failed = failed + 1
      end
      job.status = 'finished'
    end
  end
  if not now_ended then not_ended[#not_ended + 1] = id end
  answers[#answers + 1] = mine and (job.status == 'finished' or job.status == 'failed') and 1 or 0
end

if #released > 0 then call('ZREM', held, unpack(released)) end
for q, entries_of_q in pairs(running) do call('ZREM', 'rq:wip:' .. q, unpack(entries_of_q)) end
local worker = 'rq:worker:' .. inc
if #released > 0 and call('EXISTS', worker) == 1 then
  call('HINCRBY', worker, 'successful_job_count', succeeded)
  if failed > 0 then call('HINCRBY', worker, 'failed_job_count', failed) end
  if next(owned) == nil then call('HSET', worker, 'state', 'idle') end
end
if ARGV[after_jobs] and succeeded > 0 then
  local dropped = log_records(after_jobs, not_ended, most)
  if dropped then count('model:' .. string.match(ARGV[after_jobs], '^[^@]*'), 'log_rows_total|dropped', dropped) end
  shadow_records(after_jobs, not_ended)
end
close()
return answers

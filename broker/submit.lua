-- SUBMIT: jobs enter the queue of their model, or are told that it is full.
--
-- Writes rq:job:<id> (HASH), rq:queue:<q> (LIST), rq:queues (SET), mg:rows (HASH q -> rows waiting),
-- mg:ready (ZSET q -> turn: the queues that are not empty), mg:turn, mg:bell (LIST, at most one token).
-- ARGV: q, most rows that may wait, timeout in s, result TTL in s; then id, created_at (RQ's text), rows, data, meta
-- a job.
-- Returns for each job 1 (accepted, also when it already was: a repeated script is harmless) or 0 (full).
local q, most, timeout, ttl = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local list = 'rq:queue:' .. q
local waiting = tonumber(redis.call('HGET', 'mg:rows', q) or '0')
local answers, added = {}, 0

for i = 5, #ARGV, 5 do
  local id, created, rows, data, meta = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3], ARGV[i + 4]
  local key = 'rq:job:' .. id
  if redis.call('EXISTS', key) == 1 then
    answers[#answers + 1] = 1
  elseif waiting + added + rows > most then
    answers[#answers + 1] = 0
  else
    redis.call('HSET', key, 'data', data, 'meta', meta, 'rows', rows, 'origin', q, 'status', 'queued',
      'created_at', created, 'enqueued_at', created, 'timeout', timeout, 'result_ttl', ttl, 'failure_ttl', ttl,
      'description', q)
    redis.call('RPUSH', list, id)
    added = added + rows
    answers[#answers + 1] = 1
  end
end

if added > 0 then
  redis.call('SADD', 'rq:queues', list)
  redis.call('HINCRBY', 'mg:rows', q, added)
  if not redis.call('ZSCORE', 'mg:ready', q) then
    redis.call('ZADD', 'mg:ready', redis.call('INCR', 'mg:turn'), q)
  end
  if redis.call('LLEN', 'mg:bell') == 0 then redis.call('RPUSH', 'mg:bell', '1') end
end
return answers

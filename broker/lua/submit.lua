-- SUBMIT: jobs enter the queue of their model, unless it is full.
--
-- Writes rq:job:<id>, rq:queue:<q>, rq:queues (SET), the deadlines; mg:rows, mg:ready, mg:turn and the bells of q.
-- ARGV: q, model, most rows that may wait, timeout (s), result TTL (s); then for each job
--   id, created_at (RQ's text), rows, version, data, echo (JSON or ''), reply (a channel or ''),
--   ms after which it expires unless it has started (or '').
-- Returns for each job 1 (accepted; also if it was before: repeating is harmless) or 0 (the queue is full).
-- A full Redis refuses it: its first write is an HSET.
local q, model, most, timeout, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local waiting = tonumber(call('HGET', 'mg:rows', q) or '0')
local answers, ids, added = {}, {}, 0

for i = 6, #ARGV, 8 do
  local id, rows, version = ARGV[i], tonumber(ARGV[i + 2]), ARGV[i + 3]
  local echo, reply, expires = ARGV[i + 5], ARGV[i + 6], ARGV[i + 7]
  local key = 'rq:job:' .. id
  if call('EXISTS', key) == 1 then
    answers[#answers + 1] = 1
  elseif waiting + added + rows > most then
    answers[#answers + 1] = 0
  else
    call('HSET', key, 'data', ARGV[i + 4], 'origin', q, 'status', 'queued', 'rows', rows, 'version', version,
      'created_at', ARGV[i + 1], 'enqueued_at', stamp(), 'timeout', timeout, 'result_ttl', ttl, 'failure_ttl', ttl,
      'description', model .. '@' .. version, 'reply', reply)
    if echo ~= '' then call('HSET', key, 'echo', echo) end
    if expires ~= '' then
      local deadline = now_ms() + expires
      call('HSET', key, 'deadline', deadline)
      call('ZADD', kind_of(q).deadlines, deadline, id)
    end
    ids[#ids + 1] = id
    added = added + rows
    answers[#answers + 1] = 1
  end
end

if #ids > 0 then
  call('RPUSH', 'rq:queue:' .. q, unpack(ids))
  call('SADD', 'rq:queues', 'rq:queue:' .. q)
  settle(q, added)
end
return answers

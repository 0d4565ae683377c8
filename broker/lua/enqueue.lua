-- ENQUEUE: a job enters a queue from which BEGIN takes.
--
-- Writes rq:job:<id>, rq:queue:<q>, rq:queues (SET), the deadlines and the bell of q.
-- ARGV: q, id, ms after which it expires unless it has begun (or ''), then fields and values of rq:job:<id>, as RQ
--   makes them.
-- Returns 1; repeating is harmless. A full Redis refuses it: its first write is an HSET.
local q, id, expires = ARGV[1], ARGV[2], ARGV[3]
local key = 'rq:job:' .. id
if call('EXISTS', key) == 1 then return 1 end
call('HSET', key, unpack(ARGV, 4))
call('HSET', key, 'origin', q, 'status', 'queued', 'enqueued_at', stamp())
if expires ~= '' then
  local deadline = now_ms() + expires
  call('HSET', key, 'deadline', deadline)
  call('ZADD', kind_of(q).deadlines, deadline, id)
end
call('RPUSH', 'rq:queue:' .. q, id)
call('SADD', 'rq:queues', 'rq:queue:' .. q)
settle(q, 0)
return 1

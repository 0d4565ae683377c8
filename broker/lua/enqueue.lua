-- ENQUEUE: a job that RQ has put into words enters a queue of the trainer's.
--
-- Writes rq:job:<id>, rq:queue:<q>, rq:queues (SET), mg:deadlines:trainer and the bell of q.
-- ARGV: q, id, ms after which it expires unless it has begun (or ''), then fields and values of rq:job:<id>.
-- Answers 1; repeating is harmless.
-- A full Redis refuses it: its first write is an HSET.
local q, id, expires = ARGV[1], ARGV[2], ARGV[3]
local key = 'rq:job:' .. id
if call('EXISTS', key) == 1 then return 1 end
call('HSET', key, unpack(ARGV, 4))
call('HSET', key, 'origin', q, 'status', 'queued', 'enqueued_at', stamp())
if expires ~= '' then
  local deadline = now_ms() + expires
  call('HSET', key, 'deadline', deadline)
  call('ZADD', deadlines(q), deadline, id)
end
call('RPUSH', 'rq:queue:' .. q, id)
call('SADD', 'rq:queues', 'rq:queue:' .. q)
settle(q, 0)
return 1

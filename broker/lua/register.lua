-- REGISTER: an incarnation begins, with its first lease; stock RQ sees it as a worker.
--
-- Reads rq:queues. Writes the members, mg:lease:<inc>, rq:worker:<inc>, rq:workers (SET), and rq:workers:<q> (SET) of
-- each queue that it serves.
-- ARGV: inc, lease (ms), host, pid, version of Python, queues (with commas; `predict:*` for all of a prefix), the key
--   of the members (mg:incs or mg:trainers).
-- Returns 1.
allow_when_full()
local inc, lease, host, pid, python, queues, members = unpack(ARGV)
local worker = 'rq:worker:' .. inc
call('SADD', members, inc)
call('SET', 'mg:lease:' .. inc, lease, 'PX', lease)
call('HSET', worker, 'birth', stamp(), 'last_heartbeat', stamp(), 'state', 'idle', 'hostname', host, 'pid', pid,
  'version', '', 'python_version', python, 'queues', queues)
call('PEXPIRE', worker, 3 * lease)
call('SADD', 'rq:workers', worker)
for _, key in ipairs(call('SMEMBERS', 'rq:queues')) do
  local q = string.sub(key, 10)
  if serves(queues, q) then call('SADD', 'rq:workers:' .. q, worker) end
end
return 1

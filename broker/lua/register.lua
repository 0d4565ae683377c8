-- REGISTER: an incarnation of a scorer or a trainer begins, with a lease; stock RQ sees it as a worker.
--
-- Writes mg:incs or mg:trainers, mg:lease:<inc>, rq:worker:<inc>, rq:workers (SET), and for each queue there is
-- rq:workers:<q> (SET).
-- Reads rq:queues.
-- ARGV: inc, lease (ms), host, pid, versions of modelgate and Python, queues (comma-separated; 'predict:*' for all),
--   mg:incs or mg:trainers.
-- Answers 1.
allow_when_full()
local inc, lease, worker = ARGV[1], ARGV[2], 'rq:worker:' .. ARGV[1]
call('SADD', ARGV[8], inc)
call('SET', 'mg:lease:' .. inc, lease, 'PX', lease)
call('HSET', worker, 'birth', stamp(), 'last_heartbeat', stamp(), 'state', 'idle', 'hostname', ARGV[3], 'pid', ARGV[4],
  'version', ARGV[5], 'python_version', ARGV[6], 'queues', ARGV[7])
call('PEXPIRE', worker, 3 * lease)
call('SADD', 'rq:workers', worker)
for _, key in ipairs(call('SMEMBERS', 'rq:queues')) do
  local q = string.sub(key, 10)
  local everything = ARGV[7] == 'predict:*' and string.sub(q, 1, 8) == 'predict:'
  if everything or string.find(',' .. ARGV[7] .. ',', ',' .. q .. ',', 1, true) then
    call('SADD', 'rq:workers:' .. q, worker)
  end
end
return 1

-- RENEW: gives incarnations another lease.
--
-- Writes mg:lease:<inc>, rq:worker:<inc>.
-- ARGV: lease (ms), incarnations.
-- Returns those whose lease has ended: they are fenced, and get none again.
local fenced = {}
for i = 2, #ARGV do
  local inc, worker = ARGV[i], 'rq:worker:' .. ARGV[i]
  if call('PEXPIRE', 'mg:lease:' .. inc, ARGV[1]) == 0 then
    fenced[#fenced + 1] = inc
  elseif call('PEXPIRE', worker, 3 * ARGV[1]) == 1 then
    call('HSET', worker, 'last_heartbeat', stamp())
  end
end
return fenced

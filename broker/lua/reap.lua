-- REAP: gives back incarnations without a lease. It is unknown which of their jobs were running, so all count a death.
--
-- A lease that ends later than its length allows was given before the clock was set back. It is cut to its length:
-- otherwise a dead process would own its jobs until the clock gets there.
--
-- Reads the members, mg:lease:<inc>. Writes mg:lease:<inc> and the keys of GIVE_BACK.
-- ARGV: the deaths at which a job fails, its failure (JSON), the key of the members.
-- Returns the incarnations.
allow_when_full()
local reaped = {}
for _, inc in ipairs(call('SMEMBERS', ARGV[3])) do
  local lease = call('GET', 'mg:lease:' .. inc)
  if lease then
    if call('PTTL', 'mg:lease:' .. inc) > tonumber(lease) then call('PEXPIRE', 'mg:lease:' .. inc, lease) end
  else
    give_back(ARGV[3], inc, nil, tonumber(ARGV[1]), ARGV[2])
    reaped[#reaped + 1] = inc
    count('jobs', 'leases_lost_total|' .. group_of(ARGV[3]))
  end
end
close()
return reaped

-- REAP: gives back incarnations without a lease. It is unknown which of their jobs were running, so all count a death.
--
-- A lease that ends later than its length allows was given before the clock was set back. It is cut to its length:
-- otherwise a dead process would own its jobs until the clock gets there.
--
-- Reads the members, mg:lease:<inc>. Writes mg:lease:<inc> and the keys of GIVE_BACK.
-- ARGV: the deaths at which a job fails, its failure (JSON), its exc_string, the key of the members.
-- Returns the incarnations.
allow_when_full()
local reaped = {}
for _, inc in ipairs(call('SMEMBERS', ARGV[4])) do
  local lease = call('GET', 'mg:lease:' .. inc)
  if lease then
    if call('PTTL', 'mg:lease:' .. inc) > tonumber(lease) then call('PEXPIRE', 'mg:lease:' .. inc, lease) end
  else
    give_back(ARGV[4], inc, nil, tonumber(ARGV[1]), ARGV[2], ARGV[3])
    reaped[#reaped + 1] = inc
  end
end
close()
return reaped

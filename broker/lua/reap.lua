-- REAP: incarnations without a lease are given back; nobody knows what they were scoring, so every job counts a death
-- and is scored alone from then on.
--
-- A lease that ends later than it may was given before the clock was set back: it is cut to its length, or the dead
-- would live until that day comes.
--
-- Reads mg:incs or mg:trainers, mg:lease:<inc>. Writes mg:lease:<inc> and what GIVE_BACK writes.
-- ARGV: deaths from which on a job fails, its failure (JSON), its exc_string, mg:incs or mg:trainers.
-- Answers the incarnations.
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

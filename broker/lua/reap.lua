-- REAP: incarnations without a lease are given back; nobody knows what they were scoring, so every job counts a death
-- and is scored alone from then on.
--
-- Reads mg:incs, mg:lease:<inc>. Writes what GIVE_BACK writes.
-- ARGV: deaths from which on a job fails, its failure (JSON), its exc_string.
-- Answers the incarnations.
allow_when_full()
local reaped = {}
for _, inc in ipairs(call('SMEMBERS', 'mg:incs')) do
  if call('EXISTS', 'mg:lease:' .. inc) == 0 then
    give_back(inc, nil, tonumber(ARGV[1]), ARGV[2], ARGV[3])
    reaped[#reaped + 1] = inc
  end
end
close()
return reaped

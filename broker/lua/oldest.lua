-- OLDEST: returns when the oldest ended job of some queues ended. Read-only.
--
-- Reads mg:ended|fetched|delivered:<status>:<q>.
-- ARGV: which of these indexes (' ended fetched '), the queues.
-- Returns the time (s), '' without such a job.
local oldest, text = math.huge, ''
for i = 2, #ARGV do
  for seen in string.gmatch(ARGV[1], '%S+') do
    for _, status in ipairs({ 'finished', 'failed', 'canceled' }) do
      local ended_at = call('ZRANGE', 'mg:' .. seen .. ':' .. status .. ':' .. ARGV[i], 0, 0, 'WITHSCORES')[2]
      if ended_at and tonumber(ended_at) < oldest then oldest, text = tonumber(ended_at), ended_at end
    end
  end
end
return text

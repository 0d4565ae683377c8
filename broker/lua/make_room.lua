-- MAKE_ROOM: deletes predictions that clients have seen, before their time.
--
-- Writes mg:fetched|delivered:<status>:<q>, rq:job:<id>.
-- ARGV: 'delivered' or 'fetched', the latest end (s) of a job to delete, most jobs, the queues.
-- Returns the number of jobs. Repeating deletes others that are as old.
local seen, latest, most, gone = ARGV[1], ARGV[2], tonumber(ARGV[3]), 0
allow_when_full()
for i = 4, #ARGV do
  for _, status in ipairs({ 'finished', 'failed', 'canceled' }) do
    if gone == most then return gone end
    local index = 'mg:' .. seen .. ':' .. status .. ':' .. ARGV[i]
    local ids = call('ZRANGEBYSCORE', index, '-inf', latest, 'LIMIT', 0, most - gone)
    for _, id in ipairs(ids) do
      local found = fields_of(id, 'status')[1]
      -- Stock RQ may have queued the job again.
      if found ~= 'queued' and found ~= 'started' then call('DEL', 'rq:job:' .. id) end
    end
    if #ids > 0 then call('ZREMRANGEBYRANK', index, 0, #ids - 1) end
    gone = gone + #ids
  end
end
return gone

-- PAGE: lists ids of a queue, the newest first. Read-only.
--
-- Reads rq:queue:<q>.
-- ARGV: q, the id after which to continue ('' for the newest), most ids.
-- Returns ids; none if that id no longer waits, because all older jobs have left the queue before it.
local list, last = 'rq:queue:' .. ARGV[1], -1
if ARGV[2] ~= '' then
  local position = call('LPOS', list, ARGV[2], 'RANK', -1)
  if not position or position == 0 then return {} end
  last = position - 1
end
local first = last - ARGV[3] + 1
if last >= 0 and first < 0 then first = 0 end
local ids, newest_first = call('LRANGE', list, first, last), {}
for i = #ids, 1, -1 do newest_first[#newest_first + 1] = ids[i] end
return newest_first

-- RECEIPT: records that clients have seen ended jobs, which changes how long these are kept.
--
-- Writes the indexes, mg:results:<owner>; the TTL of rq:job:<id>.
-- ARGV: 'delivered' or 'fetched', the seconds that each is kept from now ('' for as long as before), the ids.
-- Returns the number of jobs that nobody had seen before. Repeating is harmless: a job moves once, out of mg:ended.
local seen, kept = ARGV[1], ARGV[2]
local out, into, moved, noted, place = {}, {}, 0, {}, nil
allow_when_full()
for i = 3, #ARGV do
  local id = ARGV[i]
  local ended_at = place and call('ZSCORE', 'mg:ended' .. place, id) -- most have ended as the one before
  if not ended_at then
    local f = fields_of(id, 'status', 'origin')
    place = f[1] and f[2] and ':' .. f[1] .. ':' .. f[2]
    ended_at = place and call('ZSCORE', 'mg:ended' .. place, id)
  end
  if ended_at and not noted[id] then
    noted[id] = true
    out[place], into[place] = out[place] or {}, into[place] or {}
    table.insert(out[place], id)
    table.insert(into[place], ended_at)
    table.insert(into[place], id)
    if kept ~= '' then call('EXPIRE', 'rq:job:' .. id, kept) end
    moved = moved + 1
  end
end
for place, ids in pairs(out) do
  call('ZREM', 'mg:ended' .. place, unpack(ids))
  uncount(string.match(place, '^:[^:]*:(.*)'), ids)
  call('ZADD', 'mg:' .. seen .. place, unpack(into[place]))
  trim('mg:' .. seen .. place, 2 * #ids)
end
return moved

-- READ: returns jobs, as many as an answer may hold. Read-only.
--
-- Reads rq:job:<id>; rq:results:<id> of a job that an older release has finished.
-- ARGV: most bytes, the number of fields, the fields (the first is `status`, the last the first part of the end), the
--   ids.
-- Returns the bytes that were read, then for each id its fields (as HMGET returns them) and the result of an older
-- release (as XREVRANGE does): always those of the first id, and of the next ones as long as they fit.
local most, count = tonumber(ARGV[1]), tonumber(ARGV[2])
local fields = {}
for i = 1, count do fields[i] = ARGV[2 + i] end
local size, answer = 0, { 0 }
for i = 3 + count, #ARGV do
  local values = fields_of(ARGV[i], unpack(fields))
  local result = {}
  if values[1] == 'finished' and not values[count] then
    result = redis.pcall('XREVRANGE', 'rq:results:' .. ARGV[i], '+', '-', 'COUNT', 1)
  end
  local own = 0
  for j = 1, count do
    values[j] = values[j] or false
    own = own + #(values[j] or '')
  end
  if result[1] then
    for j = 1, #result[1][2] do own = own + #result[1][2][j] end
  end
  if #answer > 1 and size + own > most then break end
  size = size + own
  answer[#answer + 1] = { values, result.err and {} or result }
end
answer[1] = size
return answer

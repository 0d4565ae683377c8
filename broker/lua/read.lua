-- READ: returns jobs, as many as an answer may hold. Read-only.
--
-- Reads rq:job:<id>.
-- ARGV: most bytes, the number of fields, the fields, the ids.
-- Returns the bytes that were read, then for each id its fields (as HMGET returns them): always those of the first id,
-- and of the next ones as long as they fit.
local most, count = tonumber(ARGV[1]), tonumber(ARGV[2])
local fields = {}
for i = 1, count do fields[i] = ARGV[2 + i] end
local size, answer = 0, { 0 }
for i = 3 + count, #ARGV do
  local values = fields_of(ARGV[i], unpack(fields))
  local own = 0
  for j = 1, count do
    values[j] = values[j] or false
    own = own + #(values[j] or '')
  end
  if #answer > 1 and size + own > most then break end
  size = size + own
  answer[#answer + 1] = values
end
answer[1] = size
return answer

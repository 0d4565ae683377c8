-- RECORD: adds what has happened since the last call to the rings of some models and versions (`loan@3`), and to those of
-- all models together.
--
-- Writes mg:traffic:last[:<model>] (STRING) and mg:traffic:<seconds>[:<model>] (HASH of at most `slots` fields; without
-- a model: of all together).
-- ARGV: the number of gauges; then model ('': all together), values, model, values, … `values` are numbers with spaces
-- between them, first the gauges, then totals. Call it with '' last: until then, totals count from their first values.
-- Returns the number of models to whose rings it added something. A repeated call finds nothing new, and adds nothing.
--
-- A field is a slot of time modulo `slots`, with the number of the slot and what happened in it: the highest value of
-- each gauge, and the sum of the differences of each total. A slot in which nothing happened has no field. Every ring
-- stays below the 128 fields up to which Redis stores a hash without overhead.
local RINGS = { { seconds = 60, slots = 120 }, { seconds = 900, slots = 96 }, { seconds = 21600, slots = 120 } }
local gauges = tonumber(ARGV[1])

local function numbers_in(values)
  local found = {}
  for number in string.gmatch(values, '%S+') do found[#found + 1] = tonumber(number) or 0 end
  return found
end

-- Gauges, and how much each total has grown. One that has become smaller began again at 0, or lost a deleted model.
local function grown(before, after)
  local found, any = {}, false
  for i, value in ipairs(after) do
    found[i] = i <= gauges and value or math.max(0, value - (before[i] or 0))
    any = any or found[i] > 0
  end
  return any and found
end

local function written(slot, values)
  local texts = { string.format('%d', slot) }
  for i, value in ipairs(values) do texts[i + 1] = string.format('%.15g', value) end
  while texts[#texts] == '0' and #texts > 1 do texts[#texts] = nil end
  return table.concat(texts, ' ')
end

local function add(key, ring, values)
  local slot = floor(now() / 1000000 / ring.seconds)
  local field = slot % ring.slots
  local sum, found = {}, numbers_in(call('HGET', key, field) or '')
  for i, value in ipairs(values) do
    local earlier = found[1] == slot and found[i + 1] or 0
    sum[i] = i <= gauges and math.max(earlier, value) or earlier + value
  end
  call('HSET', key, field, written(slot, sum))
  call('EXPIRE', key, ring.seconds * ring.slots)
end

allow_when_full()
local first = call('EXISTS', 'mg:traffic:last') == 0
local added = 0
for i = 2, #ARGV, 2 do
  local of = ARGV[i] == '' and '' or ':' .. ARGV[i]
  local last = call('GET', 'mg:traffic:last' .. of) or (first and ARGV[i + 1] or '')
  call('SET', 'mg:traffic:last' .. of, ARGV[i + 1], 'EX', KEEP_TRAFFIC)
  local values = grown(numbers_in(last), numbers_in(ARGV[i + 1]))
  if values then
    for _, ring in ipairs(RINGS) do add('mg:traffic:' .. ring.seconds .. of, ring, values) end
    added = added + 1
  end
end
return added

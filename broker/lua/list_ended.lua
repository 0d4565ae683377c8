-- LIST_ENDED: lists jobs of several queues that have ended, the last to end first. Read-only.
--
-- Reads mg:ended|fetched|delivered:<status>:<q>.
-- ARGV: most jobs, the time (s) at which to begin ('+inf' for the newest), the statuses (' finished failed '), then the
--   queues.
-- Returns id, time of its end, id, …
local most, from, found = tonumber(ARGV[1]), ARGV[2], {}
local lowest = '-inf' -- a job that ended before is not among the newest

local function newest_first(a, b)
  if a[2] == b[2] then return a[1] > b[1] end
  return a[2] > b[2]
end

local function keep_newest()
  table.sort(found, newest_first)
  for i = #found, most + 1, -1 do found[i] = nil end
  if #found == most then lowest = found[most].text end
end

for i = 4, #ARGV do
  for status in string.gmatch(ARGV[3], '%S+') do
    for _, seen in ipairs(SEEN) do
      local index = 'mg:' .. seen .. ':' .. status .. ':' .. ARGV[i]
      local entries = call('ZREVRANGEBYSCORE', index, from, lowest, 'WITHSCORES', 'LIMIT', 0, most)
      for j = 1, #entries, 2 do
        found[#found + 1] = { entries[j], tonumber(entries[j + 1]), text = entries[j + 1] }
      end
    end
  end
  if #found > 2 * most then keep_newest() end
end
keep_newest()
local answer = {}
for _, entry in ipairs(found) do
  answer[#answer + 1] = entry[1]
  answer[#answer + 1] = entry.text
end
return answer

-- Counts why requests to a model fail: COUNT_FAILURES for the gateway, and `conclude` for jobs. An entry is a field of the
-- hash of its hour, a JSON array of code, field, code of the field, version and caller (broker/state/failures.py); its value
-- is the count and the times of the first and the last request (s). `#<caller>` has the entries of a caller, `##` of all.
local MOST_ENTRIES, MOST_OF_CALLER = 50, 20
local FURTHER = '["others","","","",""]'

-- Adds to an entry, or, once its hour or its caller has as many as may be, to the one of all others.
local function count_failures(model, hour, caller, entry, amount, first, last)
  local key = 'mg:failures:' .. model .. ':' .. hour
  local f = redis.pcall('HMGET', key, entry, '##', '#' .. caller, FURTHER)
  if f.err then return end -- a worker may have made it something else
  if not f[1] then
    local all, own = whole(f[2]) or 0, whole(f[3]) or 0
    if all < MOST_ENTRIES and own < MOST_OF_CALLER then
      call('HSET', key, '##', all + 1, '#' .. caller, own + 1)
    else
      entry, f[1] = FURTHER, f[4]
    end
  end
  local count, since, till = string.match(f[1] or '', '^(%d+) (%d+) (%d+)$')
  call('HSET', key, entry, (count or 0) + amount .. ' ' .. math.min(since or first, first) .. ' '
    .. math.max(till or last, last))
  call('EXPIRE', key, KEEP_FAILURES)
end

-- CLAIM_DELIVERIES: the deliveries that are due, which nobody else gets for the time of a claim.
--
-- Writes mg-events:due.
-- ARGV: most deliveries, ms of the claim.
-- Returns for each: id, url, name of its subscription, event, body, number of tries.
local most, claim = tonumber(ARGV[1]), tonumber(ARGV[2])
local found = {}
allow_when_full()
for _, id in ipairs(call('ZRANGEBYSCORE', 'mg-events:due', '-inf', now_ms(), 'LIMIT', 0, most)) do
  local f = call('HMGET', 'mg-events:delivery:' .. id, 'url', 'webhook', 'type', 'body', 'tries')
  if f[1] and f[4] then
    call('ZADD', 'mg-events:due', now_ms() + claim, id)
    for _, value in ipairs({ id, f[1], f[2] or '', f[3] or '', f[4], f[5] or '0' }) do found[#found + 1] = value end
  else
    call('ZREM', 'mg-events:due', id)
  end
end
return found

-- NOTE_DELIVERY: one try of a delivery has ended.
--
-- Writes mg-events:delivery:<id>, mg-events:last, mg-events:waiting and the turns.
-- ARGV: id, number of this try, the status that the delivery has now (pending, delivered, failed), ms until the next try
--   (if pending), the try as JSON, the tries that are kept.
-- Returns 1; 0 if another process has noted a later one, or the delivery was deleted. Repeating is harmless: a try has a
--   number.
local id, number, status, pause, try, most = unpack(ARGV)
local key = 'mg-events:delivery:' .. id
allow_when_full()
local f = call('HMGET', key, 'status', 'tries', 'job', 'webhook', 'owner', 'host')
if f[1] ~= 'pending' or tonumber(f[2] or '0') >= tonumber(number) then return 0 end
call('HSET', key, 'status', status, 'tries', number, 'try:' .. number, try)
call('HDEL', key, 'try:' .. (tonumber(number) - tonumber(most)))
if status == 'pending' then
  local at = now_ms() + tonumber(pause)
  call('HSET', key, 'next', at)
  enter_lane(f[5], f[6], id, at)
else
  call('HDEL', key, 'body', 'next')
  leave_lane(f[5], f[6], id)
  keep_with_job(id, f[3])
end
if f[4] and f[4] ~= '' then call('HSET', 'mg-events:last', f[4], try) end
return 1

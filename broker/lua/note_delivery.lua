-- NOTE_DELIVERY: one try of a delivery has ended.
--
-- Writes mg-events:delivery:<id>, mg-events:of:<job>, mg-events:due, mg-events:last.
-- ARGV: id, number of this try, the status that the delivery has now (pending, delivered, failed), ms until the next try
--   (if pending), s that the record is kept (otherwise), the try as JSON, the tries that are kept.
-- Returns 1; 0 if another process has noted a later one. Repeating is harmless: a try has a number.
local id, number, status, pause, kept, try, most = unpack(ARGV)
local key = 'mg-events:delivery:' .. id
allow_when_full()
local f = call('HMGET', key, 'status', 'tries', 'job', 'webhook', 'url')
if f[1] ~= 'pending' or tonumber(f[2] or '0') >= tonumber(number) then return 0 end
call('HSET', key, 'status', status, 'tries', number, 'try:' .. number, try)
call('HDEL', key, 'try:' .. (tonumber(number) - tonumber(most)))
if status == 'pending' then
  call('HSET', key, 'next', now_ms() + tonumber(pause))
  call('ZADD', 'mg-events:due', now_ms() + tonumber(pause), id)
else
  call('HDEL', key, 'body', 'next')
  call('EXPIRE', key, kept)
  if f[3] and f[3] ~= '' then call('EXPIRE', 'mg-events:of:' .. f[3], kept) end
  call('ZREM', 'mg-events:due', id)
end
if f[4] and f[4] ~= '' then call('HSET', 'mg-events:last', f[4], try) end
return 1

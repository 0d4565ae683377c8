-- COUNT_UPLOAD: counts the bytes of an upload towards the allowance of its key for this day (UTC).
--
-- Writes mg-gateway:uploads:<key>:<day>.
-- ARGV: id of the key, id of the upload, its bytes, most bytes a day.
-- Returns 1 (counted; a repeated call with other bytes replaces the count) or 0 (too many; nothing has changed), the
--   bytes that are left, and the seconds until the day ends.
local upload, bytes, most = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local seconds = floor(now() / 1000000)
local today = floor(seconds / 86400)
local counter, ends = 'mg-gateway:uploads:' .. ARGV[1] .. ':' .. today, (today + 1) * 86400 - seconds
allow_when_full()
local left = most - (whole(call('HGET', counter, 'all')) or 0)
local more = bytes - (whole(call('HGET', counter, upload)) or 0)
if more > left then return { 0, math.max(0, left), ends } end
call('HSET', counter, upload, bytes)
call('HINCRBY', counter, 'all', string.format('%.0f', more))
call('EXPIRE', counter, KEEP_UPLOAD_COUNTS)
return { 1, left - more, ends }

-- TAKE_SHADOW: a shadow scorer takes the next entry of the first of some experiments that has one.
--
-- Writes mg:shadow:<experiment>.
-- ARGV: the consumer, a name that no other process has; the ms after which an entry that another one has taken counts as
--   left; experiments.
-- Returns experiment, position, how often it was taken before, then the fields of the entry; nothing if none waits. An
-- entry that the consumer has taken and not ended comes again.
local consumer, patience = ARGV[1], ARGV[2]
allow_when_full()
for i = 3, #ARGV do
  local stream = 'mg:shadow:' .. ARGV[i]
  if call('EXISTS', stream) == 1 then
    local left = redis.pcall('XPENDING', stream, 'shadow', '-', '+', 1, consumer)
    if left.err then
      call('XGROUP', 'CREATE', stream, 'shadow', '0') -- there was none
      left = {}
    end
    if not left[1] then left = call('XPENDING', stream, 'shadow', 'IDLE', patience, '-', '+', 1) end
    local entry
    if left[1] then
      entry = call('XCLAIM', stream, 'shadow', consumer, 0, left[1][1])[1]
    else
      local new = call('XREADGROUP', 'GROUP', 'shadow', consumer, 'COUNT', 1, 'STREAMS', stream, '>')
      entry = new and new[1][2][1]
    end
    if entry then return { ARGV[i], entry[1], left[1] and left[1][4] or 0, unpack(entry[2]) } end
  end
end
return {}

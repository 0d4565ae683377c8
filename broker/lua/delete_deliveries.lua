-- DELETE_DELIVERIES: removes deliveries of an owner that wait.
--
-- Writes mg-events:delivery:<id>, mg-events:waiting and the turns.
-- ARGV: the owner, the host that they are for ('' for all), most deliveries.
-- Returns how many it has removed. Repeating removes others.
local owner, gone = ARGV[1], 0
allow_when_full()
for _, host in ipairs(ARGV[2] ~= '' and { ARGV[2] } or call('ZRANGE', hosts_of(owner), 0, -1)) do
  local ids = call('ZRANGE', lane_of(owner, host), 0, tonumber(ARGV[3]) - gone - 1)
  for _, id in ipairs(ids) do drop_delivery(id) end
  gone = gone + #ids
  if gone == tonumber(ARGV[3]) then break end
end
return gone

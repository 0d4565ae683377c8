-- CLAIM_DELIVERIES: the deliveries that are due, which nobody else gets for the time of a claim.
--
-- Writes the turns. A served owner, and a served host of it, has its next turn after all others that wait.
-- ARGV: most deliveries, ms of the claim, most tries at a time for a host and for an owner; then owner and host of each
--   try that the sender has in flight.
-- Returns for each: id, url, name of its subscription, event, owner, host, time of the event, model, job, body, number of
--   tries.
local most, claim, each_host, each_owner = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local LOOKS = 1000 -- bounds the time of a call; owners and hosts with nothing due are corrected on the way
local limit, turn, held, found, taken = now_ms() + 1, now() / 1000, {}, {}, 0

local function hold(owner, host)
  for _, key in ipairs({ hosts_of(owner), lane_of(owner, host) }) do held[key] = (held[key] or 0) + 1 end
end

-- Gives a member its turn when the first of `below` is due, but not before `earliest`.
local function pass_turn(above, member, below, earliest)
  local at = call('ZRANGE', below, 0, 0, 'WITHSCORES')[2]
  if at then call('ZADD', above, math.max(tonumber(at), earliest), member) else call('ZREM', above, member) end
end

local function take(owner, host, id)
  local f = call('HMGET', 'mg-events:delivery:' .. id, 'url', 'webhook', 'type', 'owner', 'host', 'at', 'model', 'job',
    'body', 'tries')
  if not f[1] then return leave_lane(owner, host, id) end
  call('ZADD', lane_of(owner, host), now_ms() + claim, id)
  hold(owner, host)
  taken = taken + 1
  found[#found + 1] = id
  for i = 1, 10 do found[#found + 1] = f[i] or '' end
end

allow_when_full()
for i = 5, #ARGV, 2 do hold(ARGV[i], ARGV[i + 1]) end
for _ = 1, LOOKS do
  local owner, owner_at = unpack(call('ZRANGE', DUE, 0, 0, 'WITHSCORES'))
  if taken == most or not owner or tonumber(owner_at) > limit then break end
  local hosts = hosts_of(owner)
  local host, host_at = unpack(call('ZRANGE', hosts, 0, 0, 'WITHSCORES'))
  local lane = lane_of(owner, host or '')
  local id, at = unpack(call('ZRANGE', lane, 0, 0, 'WITHSCORES'))
  if (held[hosts] or 0) >= each_owner then
    call('ZADD', DUE, limit + 1, owner)
  elseif not host or tonumber(host_at) > limit then
    pass_turn(DUE, owner, hosts, 0)
  elseif (held[lane] or 0) >= each_host then
    call('ZADD', hosts, limit + 1, host)
  elseif not id or tonumber(at) > limit then
    pass_turn(hosts, host, lane, 0)
  else
    take(owner, host, id)
    turn = turn + 0.001
    pass_turn(hosts, host, lane, turn)
    pass_turn(DUE, owner, hosts, turn)
  end
end
return found

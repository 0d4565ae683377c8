-- Deliveries of webhooks that wait. Owners take turns, then the hosts of an owner, then the deliveries to a host.
local DUE, WAITING = 'mg-events:due', 'mg-events:waiting'
local function hosts_of(owner) return DUE .. ':' .. owner end
local function lane_of(owner, host) return DUE .. ':' .. owner .. ' ' .. host end

-- Gives a delivery its time (ms), and its host and owner a turn at that time at the latest.
local function enter_lane(owner, host, id, at)
  call('ZADD', lane_of(owner, host), at, id)
  for _, turn in ipairs({ { hosts_of(owner), host }, { DUE, owner } }) do
    local score = call('ZSCORE', turn[1], turn[2])
    if not score or tonumber(score) > at then call('ZADD', turn[1], at, turn[2]) end
  end
end

-- Removes a delivery from the waiting ones of its host.
local function leave_lane(owner, host, id)
  if call('ZREM', lane_of(owner, host), id) == 0 then return end
  if call('HINCRBY', WAITING, owner, -1) < 1 then call('HDEL', WAITING, owner) end
  if call('EXISTS', lane_of(owner, host)) == 0 then call('ZREM', hosts_of(owner), host) end
  if call('EXISTS', hosts_of(owner)) == 0 then call('ZREM', DUE, owner) end
end

-- Keeps the record of a delivery that has ended as long as its job.
local function keep_with_job(id, job)
  local left = job ~= '' and call('PTTL', 'rq:job:' .. job) or 0
  if left > 0 then call('PEXPIRE', 'mg-events:delivery:' .. id, left) else call('DEL', 'mg-events:delivery:' .. id) end
end

-- Removes a delivery, whether it waits or has ended. A try that is in flight ends without a record.
local function drop_delivery(id)
  local f = call('HMGET', 'mg-events:delivery:' .. id, 'owner', 'host')
  if f[1] then leave_lane(f[1], f[2], id) end
  call('DEL', 'mg-events:delivery:' .. id)
end

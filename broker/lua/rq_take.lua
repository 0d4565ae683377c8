-- TAKE: the oldest job of the queue whose turn it is; round robin over the models that have work.
--
-- Writes rq:queue:<q>, mg:ready, mg:turn, mg:rows, mg:bell (see submit.lua).
-- Returns {q, id}, or {} when every queue is empty.
for _, q in ipairs(redis.call('ZRANGE', 'mg:ready', 0, -1)) do
  local list, taken = 'rq:queue:' .. q, nil
  local id = redis.call('LPOP', list)
  while id and not taken do
    local rows = redis.call('HGET', 'rq:job:' .. id, 'rows')
    if rows then
      redis.call('HINCRBY', 'mg:rows', q, -tonumber(rows))
      taken = id
    else
      id = redis.call('LPOP', list)
    end
  end
  if redis.call('LLEN', list) > 0 then
    redis.call('ZADD', 'mg:ready', redis.call('INCR', 'mg:turn'), q)
  else
    redis.call('ZREM', 'mg:ready', q)
    redis.call('HDEL', 'mg:rows', q)
  end
  if taken then
    if redis.call('ZCARD', 'mg:ready') > 0 and redis.call('LLEN', 'mg:bell') == 0 then
      redis.call('RPUSH', 'mg:bell', '1')
    end
    return {q, taken}
  end
end
return {}

-- PLAN_DELIVERIES: an event becomes deliveries, one for each URL, and leaves its list.
--
-- Writes mg:webhooks:ended, mg-events:models, mg-events:delivery:<id>, mg-events:of:<job>, mg-events:waiting and the turns.
-- ARGV: the entry of mg:webhooks:ended ('' for an event of a model); or the model, its versions as they were read
--   ('' for none) and as they are ('' otherwise); the id of the job (or ''); the most deliveries of an owner that may
--   wait, the try of those beyond as JSON; then for each delivery
--   id, its URL, name of the subscription ('' for a job's own), event, owner, host, time of the event, model, body (or '').
-- Returns how many were given up because their owner has too many; nil if the event is planned already.
-- A full Redis refuses it, unless there is nothing to deliver: its first write is an HSET.
local entry, model, before, after, job, most, refusal = unpack(ARGV, 1, 7)
if entry ~= '' and not call('LPOS', 'mg:webhooks:ended', entry) then return false end
if model ~= '' then
  if (call('HGET', 'mg-events:models', model) or '') ~= before then return false end
  if after == '' then call('HDEL', 'mg-events:models', model) else call('HSET', 'mg-events:models', model, after) end
end
local refused, of = 0, 'mg-events:of:' .. job
local left = job ~= '' and call('PTTL', 'rq:job:' .. job) or 0
for i = 8, #ARGV, 9 do
  local id, url, webhook, event, owner, host, at, name, body = unpack(ARGV, i, i + 8)
  local key = 'mg-events:delivery:' .. id
  if call('EXISTS', key) == 0 then
    local full = tonumber(call('HGET', WAITING, owner) or '0') >= tonumber(most)
    call('HSET', key, 'url', url, 'webhook', webhook, 'type', event, 'owner', owner, 'host', host, 'at', at,
      'model', name, 'status', full and 'failed' or 'pending', 'created_at', stamp(), 'job', job)
    if body ~= '' then call('HSET', key, 'body', body) end
    if left > 0 then
      call('SADD', of, id)
      call('PEXPIRE', of, left)
    end
    if full then
      refused = refused + 1
      call('HSET', key, 'tries', 1, 'try:1', refusal)
      keep_with_job(id, job)
    else
      call('HINCRBY', WAITING, owner, 1)
      enter_lane(owner, host, id, now_ms())
    end
  end
end
if entry ~= '' then call('LREM', 'mg:webhooks:ended', 1, entry) end
return refused

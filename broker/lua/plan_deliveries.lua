-- PLAN_DELIVERIES: an event becomes deliveries, one for each URL, and leaves its list.
--
-- Writes mg:webhooks:ended, mg-events:models, mg-events:delivery:<id>, mg-events:of:<job>, mg-events:due.
-- ARGV: the entry of mg:webhooks:ended ('' for an event of a model); or the model, its versions as they were read
--   ('' for none) and as they are ('' otherwise); the id of the job (or ''); then for each delivery
--   id, its URL, name of the subscription ('' for a job's own), event, body.
-- Returns 1; 0 if somebody else has planned the event of the model. Repeating is harmless: a delivery is made once.
local entry, model, before, after, job = unpack(ARGV, 1, 5)
allow_when_full()
if model ~= '' then
  if (call('HGET', 'mg-events:models', model) or '') ~= before then return 0 end
  if after == '' then call('HDEL', 'mg-events:models', model) else call('HSET', 'mg-events:models', model, after) end
end
for i = 6, #ARGV, 5 do
  local id = ARGV[i]
  local key = 'mg-events:delivery:' .. id
  if call('EXISTS', key) == 0 then
    call('HSET', key, 'url', ARGV[i + 1], 'webhook', ARGV[i + 2], 'type', ARGV[i + 3], 'body', ARGV[i + 4],
      'status', 'pending', 'created_at', stamp(), 'job', job)
    call('ZADD', 'mg-events:due', now_ms(), id)
    if job ~= '' then call('SADD', 'mg-events:of:' .. job, id) end
  end
end
if entry ~= '' then call('LREM', 'mg:webhooks:ended', 1, entry) end
return 1

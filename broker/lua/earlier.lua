-- Requests with an idempotency key.
--
--   mg:idempotency:<owner>:<SHA-256 of the key>  STRING "<what the request made> <its fingerprint>": the id of a job, or
--     'key:' and the id of an API key. It expires with the job, and a month after a job that never ends.
-- A script gets an idempotency as "<owner>:<SHA-256 of the key> <fingerprint>".

-- Returns what an earlier request with this key has made, or nil; then 'other_request' if that was another request.
local function recall(idempotency)
  local record, fingerprint = string.match(idempotency, '^(%S+) (%S+)$')
  local made, of = string.match(call('GET', 'mg:idempotency:' .. record) or '', '^(%S+) (%S+)$')
  return made, of ~= fingerprint and 'other_request'
end

-- Returns what answers a request that would make the job `id`: nil if it is the first one with its key; else 1 (it has
-- made this job: the reply was lost), 'same <id>' (an earlier one has made that job), 'gone' (which does not exist any
-- more) or 'other_request'.
local function earlier(id, idempotency)
  local made, conflict = recall(idempotency)
  if not made or conflict then return made and conflict or nil end
  if string.sub(made, 1, 4) ~= 'key:' and call('EXISTS', 'rq:job:' .. made) == 0 then return 'gone' end
  return made == id and 1 or 'same ' .. made
end

-- Notes that the request has made this, for `seconds`.
local function remember(idempotency, made, seconds)
  local record, fingerprint = string.match(idempotency, '^(%S+) (%S+)$')
  call('SET', 'mg:idempotency:' .. record, made .. ' ' .. fingerprint, 'EX', seconds)
end

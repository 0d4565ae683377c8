-- WAIT: subscribes a channel to the ends of jobs, unless they have ended. An end before it is in the answer, an end
-- after it is published.
--
-- Reads and writes rq:job:<id> (reply).
-- ARGV: channel, ids.
-- Returns for each job 'wait', 'final' or 'unknown'.
local channel, answers = ARGV[1], {}
allow_when_full()
for i = 2, #ARGV do
  local key = 'rq:job:' .. ARGV[i]
  local f = fields_of(ARGV[i], 'status', 'reply')
  if not f[1] then
    answers[#answers + 1] = 'unknown'
  elseif f[1] ~= 'queued' and f[1] ~= 'started' then
    answers[#answers + 1] = 'final'
  else
    local reply = f[2] and f[2] ~= '' and f[2] .. ' ' or ''
    if not string.find(' ' .. reply, ' ' .. channel .. ' ', 1, true) then
      call('HSET', key, 'reply', reply .. channel)
    end
    answers[#answers + 1] = 'wait'
  end
end
return answers

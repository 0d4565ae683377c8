-- WATCH: returns how far jobs are. Read-only.
--
-- Reads rq:job:<id>, mg:log:<id>.
-- ARGV: the ids.
-- Returns for each job its status ('' if there is none), its progress (JSON or ''), and the bytes that its log has had.
local answer = {}
for i, id in ipairs(ARGV) do
  local f = fields_of(id, 'status', 'progress', 'log_start')
  answer[i] = { f[1] or '', f[2] or '', (whole(f[3]) or 0) + call('STRLEN', 'mg:log:' .. id) }
end
return answer

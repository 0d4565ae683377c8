-- END_SHADOW: a shadow scorer has scored an entry, and the prediction log gets what the candidate has answered.
--
-- Writes mg:shadow:<experiment>, mg:shadow:<experiment>:bytes, mg:shadow:<experiment>:dropped, mg:logged, mg:logged:bytes
-- and the counters of the model.
-- ARGV: experiment, position, the bytes of its record, model, the rows scored, those failed, and those dropped before it;
--   then the version of the candidate and its record as FINISH has them.
-- Returns 1; 0 if it is repeated, or another shadow scorer has ended the entry: nothing is written then.
local experiment, model, scored, failed = ARGV[1], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local stream = SHADOW .. experiment
allow_when_full()
if call('XACK', stream, 'shadow', ARGV[2]) == 0 then return 0 end
call('XDEL', stream, ARGV[2])
redis.pcall('DECRBY', stream .. ':bytes', ARGV[3])
if ARGV[8] and log_records(8, {}, MOST_LOGGED_BEFORE) then
  drop_shadowed(experiment, model, scored + failed, ARGV[7])
else
  if scored > 0 then count('model:' .. model, 'shadow_rows_total|scored', scored) end
  if failed > 0 then count('model:' .. model, 'shadow_rows_total|failed', failed) end
end
write_counts()
return 1

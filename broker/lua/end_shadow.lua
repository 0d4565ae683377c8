-- END_SHADOW: a shadow scorer has scored an entry, and the prediction log gets what the candidate has answered.
--
-- Writes mg:shadow:<experiment>, mg:shadow:<experiment>:bytes, mg:shadow:<experiment>:dropped, mg:logged, mg:logged:bytes
-- and the counters of the model.
-- ARGV: experiment, position, the bytes of its record, model, its rows, those dropped before it; then the version of the
--   candidate and its record as FINISH has them.
-- Returns 1; 0 if it is repeated, or another shadow scorer has ended the entry: nothing is written then.
local experiment, model, rows = ARGV[1], ARGV[4], ARGV[5]
local stream = SHADOW .. experiment
allow_when_full()
if call('XACK', stream, 'shadow', ARGV[2]) == 0 then return 0 end
call('XDEL', stream, ARGV[2])
redis.pcall('DECRBY', stream .. ':bytes', ARGV[3])
if ARGV[7] and log_records(7, {}, MOST_LOGGED_BEFORE) then
  drop_shadowed(experiment, model, rows, ARGV[6])
else
  count('model:' .. model, 'shadow_rows_total|scored', rows)
end
write_counts()
return 1

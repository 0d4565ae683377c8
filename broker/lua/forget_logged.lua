-- FORGET_LOGGED: the observer has kept what it has read of the prediction log, up to a position.
--
-- Writes mg:logged:position, mg:logged, mg:logged:bytes, mg:logged:since and the counters of models.
-- ARGV: the position (the id of an entry), the id after it, the bytes of the records since the last position; then
--   model, fate, rows, …
-- Returns 1; 0 if it is repeated, so that it counts nothing twice.
allow_when_full()
if call('GET', 'mg:logged:position') == ARGV[1] then return 0 end
call('SET', 'mg:logged:position', ARGV[1])
call('DEL', 'mg:logged:since')
call('XTRIM', 'mg:logged', 'MINID', ARGV[2])
if call('XLEN', 'mg:logged') == 0 then
  call('SET', 'mg:logged:bytes', 0)
else
  call('DECRBY', 'mg:logged:bytes', ARGV[3])
end
for i = 4, #ARGV, 3 do count('model:' .. ARGV[i], 'log_rows_total|' .. ARGV[i + 1], tonumber(ARGV[i + 2])) end
write_counts()
return 1

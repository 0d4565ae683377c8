-- FORGET_LOGGED: the observer has kept what it has read of the prediction log, up to a position.
--
-- Writes mg:log:position, mg:log:predictions, mg:log:bytes and the counters of models.
-- ARGV: the position (the id of an entry), the id after it, the bytes of the records since the last position; then
--   model, fate, rows, …
-- Returns 1; 0 if it is repeated, so that it counts nothing twice.
allow_when_full()
if call('GET', 'mg:log:position') == ARGV[1] then return 0 end
call('SET', 'mg:log:position', ARGV[1])
call('XTRIM', 'mg:log:predictions', 'MINID', ARGV[2])
if call('XLEN', 'mg:log:predictions') == 0 then
  call('SET', 'mg:log:bytes', 0)
else
  call('DECRBY', 'mg:log:bytes', ARGV[3])
end
for i = 4, #ARGV, 3 do count('model:' .. ARGV[i], 'log_rows_total|' .. ARGV[i + 1], tonumber(ARGV[i + 2])) end
write_counts()
return 1

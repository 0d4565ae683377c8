-- ANNOUNCE_MODEL: a model has changed in the object store that holds the model repository.
--
-- Writes mg:repository:last (the number of the last change) and mg:repository:changed (ZSET model -> number).
-- ARGV: model.
-- Returns the number of the change.
allow_when_full()
local number = call('INCR', 'mg:repository:last')
call('ZADD', 'mg:repository:changed', number, ARGV[1])
return number

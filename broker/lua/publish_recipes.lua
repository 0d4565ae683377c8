-- PUBLISH_RECIPES: tells the gateway which recipes the trainer has.
--
-- Writes mg:trainer:recipes, mg:trainer:parameters (STRING).
-- ARGV: the recipes, their parameters (JSON).
-- Returns 1.
allow_when_full()
call('SET', 'mg:trainer:parameters', ARGV[2])
call('SET', 'mg:trainer:recipes', ARGV[1])
return 1

-- RECALL: what an earlier request with the same idempotency key has made. Read-only.
--
-- Reads mg:idempotency:<owner>:<hash>, rq:job:<id>.
-- ARGV: the idempotency of the request.
-- Returns syncing(), and '' (there was none), 'same <what it made>', 'gone' (its job no longer exists) or
--   'other_request'.
return { syncing(), earlier('', ARGV[1]) or '' }

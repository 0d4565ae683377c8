"""A job's life in Redis: one Lua file a transition, thin callers; imports contract, redis and rq."""

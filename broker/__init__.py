"""A job's life in Redis: one Lua file a transition (`lua/`), thin callers for gateway (`jobs`), scorer (`work`) and
supervisor (`leases`); imports contract and redis, and rq for the worker that they will replace."""

"""A job's life in Redis: one Lua file a transition (`lua/`), thin callers for gateway (`jobs`, `training`, `schedules`),
scorer (`work`), trainer (`tasks`) and supervisors (`leases`); imports contract, redis, rq and croniter."""

"""A job's life in Redis: one Lua file a transition (`lua/`), thin callers for the gateway (`jobs`, `training`,
`schedules`), scorers (`work`), the trainer (`tasks`) and supervisors (`leases`); imports contract, redis, rq, croniter.
"""

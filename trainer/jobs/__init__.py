"""Jobs of the trainer's queues: taken from Redis, run in a process or a thread, and finished."""

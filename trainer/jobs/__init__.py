"""Jobs of the trainer's queues: taken from Redis, done in a process or a thread, and ended."""

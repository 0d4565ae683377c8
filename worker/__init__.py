"""Takes prediction jobs from Redis, scores them with models in memory, and writes the results."""

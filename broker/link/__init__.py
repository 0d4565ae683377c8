"""The way to Redis: connections, scripts, what counts as written, and what its failures mean."""

"""Takes jobs, scores them with models it holds in memory, answers them."""

"""What several sides read or write in Redis: jobs, schedules, webhooks, and which processes are alive."""

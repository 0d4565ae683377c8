"""Two weeks in two minutes: everything that can be killed is killed under load, and every job is accounted for."""

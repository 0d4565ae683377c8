"""A day of faults: each is caused under load, and a row says what was lost and what Modelgate said of it."""

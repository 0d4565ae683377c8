"""What every process does alike: periodic duties, backoff, limits, logs. Each module can be imported alone."""

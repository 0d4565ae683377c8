"""Training rows: reading them, and inferring their fields."""

"""Training rows: reading them, inferring their fields, and turning columns into numbers."""

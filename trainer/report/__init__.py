"""The report of a version: what a data scientist wants to see before trusting it."""

"""Runs the jobs of a queue that are taken one at a time."""

"""Watches the rows that served models get: whether they still look like the training rows, and how good answers are."""

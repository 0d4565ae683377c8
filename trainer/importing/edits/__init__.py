"""Versions under an edited signature."""

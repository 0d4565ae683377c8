"""Rows to learn from: where they come from, what their columns are, and how those become numbers."""

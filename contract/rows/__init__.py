"""Rows of a request or a file: read, coerced to a signature, and written."""

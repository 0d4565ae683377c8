"""The way of a file from the inbox or an upload to a version."""

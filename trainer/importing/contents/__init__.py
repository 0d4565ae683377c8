"""The one model among the contents of a file."""

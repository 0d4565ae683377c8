"""The web pages. They call the use cases that the HTTP interface calls, and nothing else."""

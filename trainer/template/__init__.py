"""The template: imports the libraries once and forks a process for each task. It never sees a file of a user."""

"""`make up` runs all of Modelgate on one machine, under a process manager."""

"""One module or package for each kind of process that uses the queues."""

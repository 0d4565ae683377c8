"""Several machines in network namespaces, with a route to Redis and the object store and to nothing else."""

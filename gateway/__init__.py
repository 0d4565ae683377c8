"""HTTP and nothing else: requests to jobs, jobs to answers. It cannot unpickle a model."""

"""The HTTP service: it turns requests into jobs, and jobs into answers. It cannot unpickle a model."""

"""Use cases, without HTTP: plain arguments in, a job or a typed failure out."""

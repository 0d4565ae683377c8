"""Request bodies to rows, and jobs to response bodies. Nothing here knows Flask."""

"""The report of a version, for a data scientist who decides whether to trust it."""

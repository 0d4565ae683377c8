"""Makes, lists and removes environments: what `modelgate environment` does."""

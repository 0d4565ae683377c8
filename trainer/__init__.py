"""Fits models and publishes them: the only writer of the model repository."""

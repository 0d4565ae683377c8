"""The trainer: fits and imports models, and publishes them. The only writer of the model repository."""

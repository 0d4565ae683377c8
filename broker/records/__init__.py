"""What Redis holds of a job, by its kind. Nothing here talks to Redis."""

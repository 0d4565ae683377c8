"""The service that reports events to webhooks. It reads Redis and the model repository, and unpickles nothing."""

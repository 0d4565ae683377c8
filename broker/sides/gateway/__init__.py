"""The gateway's side of the queues."""

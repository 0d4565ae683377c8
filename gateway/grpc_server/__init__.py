"""The gRPC transport of the Open Inference Protocol: a process of its own, which makes a request to the gateway's WSGI
application out of each call. So all that holds for HTTP holds here, from keys to the access log."""

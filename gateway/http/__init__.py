"""What the routes share: a request, its body and its answer."""

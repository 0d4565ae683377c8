"""What a release and a deployment are made of."""

"""What a model is: its manifest, its signature, and the repository that holds it."""

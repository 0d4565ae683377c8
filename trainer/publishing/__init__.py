"""The only code that writes the model repository: versions, their signatures and aliases."""

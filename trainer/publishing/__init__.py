"""The only writers of the model repository: versions, their signatures, and the aliases that name them."""

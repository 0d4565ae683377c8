"""The page with the experiments of a model."""

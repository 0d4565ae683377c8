"""Decides from counts alone whether the rows of a model version still come from the distribution of its training."""

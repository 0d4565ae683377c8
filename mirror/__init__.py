"""Keeps MODELS_DIR as the model repository is in an object store."""

"""Imports saved models, from the inbox or an upload: tries each in a throwaway process, then publishes it."""

ALTERED = "was altered during the import; check who may write to MODELS_DIR, and import it again"


class Refused(Exception):
    """A file that cannot be imported. The message continues after the file's name: what is wrong, and what to do."""

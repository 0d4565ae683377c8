"""Takes over a model that somebody saved: from the inbox or an upload through a trial in a throwaway process."""

ALTERED = "was altered while it was imported; look who may write to MODELS_DIR, and import it again"


class Refused(Exception):
    """A file that cannot be served; the message goes on after the file's name: what is wrong, and what to do."""

"""Imports saved models, from the inbox or an upload: tries each in a throwaway process, then publishes it."""

ALTERED = "was altered during the import; check who may write to MODELS_DIR, and import it again"


class LivesElsewhere(Exception):
    """A file that was made with the release of another environment, in which it has to be examined."""

    def __init__(self, environment: str) -> None:
        super().__init__(environment)
        self.environment = environment


class Refused(Exception):
    """A file that cannot be imported. The message continues after the file's name: what is wrong, and what to do."""

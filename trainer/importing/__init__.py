"""Takes over a model that somebody saved: what the file is, a trial in a throwaway process, a manifest."""


class Refused(Exception):
    """A file that cannot be served; the message goes on after the file's name: what is wrong, and what to do."""

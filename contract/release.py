"""The release of Modelgate that this is. Containers have no `pyproject.toml`, so that file reads it from here."""

VERSION = "1.0.0"

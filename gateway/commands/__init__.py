"""The commands of `python -m gateway` beside serving."""

"""The documentation as a site: `make docs`. Sphinx builds it from what `gather` makes of docs/."""

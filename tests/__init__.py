"""Tests. A package, because an installed one has that name too."""

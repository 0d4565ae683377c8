"""The keys of the prediction log, whose records wait in Redis for the observer."""

from __future__ import annotations

LOG, LOG_BYTES = "mg:logged", "mg:logged:bytes"
"""A stream of records, and their bytes together. FINISH adds to it, FORGET_LOGGED takes from it."""

"""From a request to a published version: read, learn, measure, promote what passes the gate."""

ROW_HASHES_FILE = "learnt.hashes"
"""The file beside a version's report: sorted little-endian 64-bit numbers, two for each training row."""

"""SPOOL_DIR, where files of users wait: `store` has its uploads and file predictions, `room` its quota."""

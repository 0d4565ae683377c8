"""SPOOL_DIR, where files of users wait: `store` has its uploads, file predictions and quota, `names` where they are."""

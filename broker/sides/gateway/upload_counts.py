"""The bytes that each key has uploaded on a day (UTC)."""

from __future__ import annotations

from broker.link.scripts import Connected
from contract.settings import MB
from contract.work.api_keys import Key, Quota

DAY = 86_400


class UploadCounts(Connected):
    """Counts uploads. Raises `redis.exceptions.RedisError`."""

    def count(self, key: Key, upload: str, size: int) -> tuple[bool, Quota] | None:
        """Count `size` bytes of the upload with the id `upload`. Returns whether the allowance of today suffices, and
        what is left of it; if it does not suffice, the bytes do not count. Returns None if the key has no limit.

        Harmless to repeat; a new size replaces the previous one of this upload. One round trip.
        """
        megabytes = key.limits.upload_mb_per_day
        if megabytes is None:
            return None
        most = megabytes * MB
        counted, left, seconds = self._scripts.run("count_upload", key.id, upload, size, most)
        return bool(counted), Quota("uploads", most, DAY, left, seconds)

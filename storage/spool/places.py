"""The spool that the settings name."""

from __future__ import annotations

from contract.settings import Settings
from storage.spool.store import Aside, Spool, directly


def spool_of(settings: Settings, aside: Aside = directly) -> Spool:
    """Return the spool in SPOOL_DIR, or the one at SPOOL_URL, of which this folder has copies. Raises
    `SettingsError`."""
    if settings.spool_url:
        from storage.spool.bucket import BucketSpool  # the library takes memory in each process

        return BucketSpool.at(settings, aside)
    return Spool(settings.spool_dir.absolute(), settings.spool_mb, aside)

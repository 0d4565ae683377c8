"""What the gateway and its gRPC server check and set before they serve."""

from __future__ import annotations

import logging
import resource

from broker.access.signatures import Signer
from contract.errors import SettingsError
from contract.settings import Settings
from runtime.tracing import check_tracing
from storage.models.mirror_notes import wait_for_mirror

log = logging.getLogger("gateway")

OPEN_FILES = 8_192
"""Enough for the connections of clients (worker_connections in gunicorn.conf.py), those to Redis, and files."""


def checked_settings() -> Settings:
    """Return the settings, once the models are here and the trainer's secret is. Raises `SettingsError`."""
    settings = Settings.from_environ()
    if not settings.redis_url:
        raise SettingsError("REDIS_URL is not set; the gateway needs the Redis that the workers use")
    settings.check_host()
    check_tracing(settings)
    Signer.from_settings(settings)
    wait_for_mirror(settings, log)
    return settings


def allow_open_files() -> None:
    """Raise the limit of this process: most systems begin with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

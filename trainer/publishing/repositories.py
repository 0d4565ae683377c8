"""The model repository that the settings name."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from contract.settings import Settings
from storage.models.done_jobs import DoneInBucket, DoneJobs
from storage.models.repository_writer import RepositoryWriter

if TYPE_CHECKING:
    from storage.models.bucket import ModelBucket

log = logging.getLogger("trainer")


def repository_of(settings: Settings) -> RepositoryWriter:
    """Return the model repository in MODELS_DIR, or the one at MODELS_URL that this folder mirrors. Raises
    `SettingsError`."""
    if not settings.models_url:
        return RepositoryWriter(settings.models_dir)
    from storage.models.mirrored import MirroredRepository  # the library takes memory in each process

    bucket = _bucket(settings.models_url, settings.store_options_file)
    return MirroredRepository(settings.models_dir, bucket, lambda model: _announce(settings.redis_url, model))


def done_jobs_of(settings: Settings) -> DoneJobs | DoneInBucket:
    """Return the jobs that trainers of the model repository have run. Raises `SettingsError`."""
    if not settings.models_url:
        return DoneJobs(settings.models_dir)
    return DoneInBucket(_bucket(settings.models_url, settings.store_options_file).objects)


@cache
def _bucket(url: str, options_file: Path | None) -> ModelBucket:
    from storage.models.bucket import ModelBucket
    from storage.objects import Objects

    return ModelBucket(Objects.at("MODELS_URL", url, options_file))


def _announce(redis_url: str, model: str) -> None:
    """Have the mirrors look at the model at once."""
    from broker.link.connection import connect
    from broker.state.mirrors import announce

    try:
        with connect(redis_url, socket_timeout=2) as connection:
            announce(connection, model)
    except RedisError as error:
        log.warning("the change of %s is not announced, so that mirrors find it later: %s", model, error)

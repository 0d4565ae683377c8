"""Submits a training for each model of TRAIN_ON_START that cannot be served."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from contract.errors import ModelgateError
from contract.model.environments import TODAY
from contract.model.repository import CURRENT, Repository
from scoring.artifacts import check_versions
from trainer.publishing.signing import SigningPolicy

log = logging.getLogger("trainer")

RETRY = 60.0
"""Seconds after a failed training of a missing model until the next one."""


def missing_models(repository: Repository, names: Sequence[str], signing: SigningPolicy) -> dict[str, str | None]:
    """Return those of `names` whose current version cannot be served here, each with the reason; None: it has none.

    A model whose newest version waits for its signature is not missing, nor is one that was removed.
    """
    reasons: dict[str, str | None] = {}
    for name in names:
        if repository.was_removed(name):
            continue
        if signing.signs_elsewhere and _waits_for_signature(repository, name):
            continue
        current = repository.aliases(name).get(CURRENT)
        if current is None:
            reasons[name] = None
            continue
        try:
            manifest = repository.read_manifest(name, current)
            signing.trust.check(manifest, repository.files(name, current))
            if manifest.environment == TODAY:  # workers of another environment know whether they can
                check_versions(manifest)
        except ModelgateError as error:
            reasons[name] = str(error)
    return reasons


class TrainOnStart:
    """Keeps the models of TRAIN_ON_START trained: call `look` every few seconds."""

    def __init__(
        self,
        repository: Repository,
        names: Sequence[str],
        signing: SigningPolicy,
        submit: Callable[[str], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`submit` submits a training of a model. `clock` returns seconds."""
        self._repository = repository
        self._names = names
        self._signing = signing
        self._submit = submit
        self._clock = clock
        self._retry_at: dict[str, float] = {}
        self.ready = False
        """Whether every missing model has been tried."""
        for name in filter(repository.was_removed, names):
            log.info("%s of TRAIN_ON_START is not trained, because it was removed; train or restore it", name)

    def look(self, unfinished: Callable[[], Sequence[object]], submits: bool = True) -> None:
        """Submit what is missing and due, if this is the process that `submits`. `unfinished` returns the models that
        wait for a training or are trained."""
        missing = missing_models(self._repository, self._names, self._signing)
        waiting = set(unfinished()) if missing else set()
        now = self._clock()
        for name, reason in missing.items():
            if name in waiting:
                self._retry_at[name] = now + RETRY
            elif submits and now >= self._retry_at.get(name, 0.0):
                if reason:
                    log.warning("%s: %s", name, reason)
                self._submit(name)
                self._retry_at[name] = now + RETRY
                waiting.add(name)
        if not self.ready and waiting.isdisjoint(missing):
            self.ready = True
            log.info("ready")


def _waits_for_signature(repository: Repository, name: str) -> bool:
    versions = repository.versions(name)
    return bool(versions) and not repository.files(name, versions[-1]).is_signed()

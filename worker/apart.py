"""Keeps what the code of a model changes of its process from other models and requests (docs/adr/0094)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from scoring.process_state import ProcessState
from worker.model_cache import Model, ModelCache, Version

log = logging.getLogger("worker")

_LONGEST = 1.0
"""Seconds after which a process ends although more jobs of its version wait: others may wait, too."""

_UNWATCHED: AbstractContextManager[None] = nullcontext()

Watching = Callable[[str, int], AbstractContextManager[None]]
"""Returns the context in which a version is asked."""


def unwatched(_name: str, _version: int) -> AbstractContextManager[None]:
    """Watch nothing."""
    return _UNWATCHED


class Apart:
    """Watches the calls of the models in a cache. `version`: the only one that this process may still score, because it
    has changed it; None: all."""

    def __init__(self, cache: ModelCache) -> None:
        self._cache = cache
        self._until = 0.0
        self._logged: set[Version] = set()
        self.version: Version | None = None

    def watching(self, name: str, version: int) -> AbstractContextManager[None]:
        """Put back what the model changes in a block that asks it. One that was shown to change nothing costs
        nothing."""
        model = self._cache.loaded((name, version))
        return self._watching(model, (name, version)) if model and model.watched else _UNWATCHED

    @contextmanager
    def _watching(self, model: Model, version: Version) -> Iterator[None]:
        known, state = (*model.manifest.artifact.changes, *model.changes), ProcessState()
        try:
            yield
        finally:
            changes = state.put_back()
            found = () if state.imported else changes  # libraries change their process when they are imported
            if (known or found) and self.version is None:
                self.version, self._until = version, time.monotonic() + _LONGEST
            if not {*found} <= {*known}:
                self._log(version, found)

    def _log(self, version: Version, found: Sequence[str]) -> None:
        if version not in self._logged:
            self._logged.add(version)
            what = "its code changes %s for its whole process, which is put back; take that out of it"
            log.warning(what, " and ".join(found), extra={"model": version[0], "version": version[1]})

    @property
    def over(self) -> bool:
        """Whether a process that is left to one version is to end, so that others get another one."""
        return self.version is not None and time.monotonic() > self._until

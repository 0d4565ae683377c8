"""Models in memory: how they are loaded and measured, and the cache of a scorer."""

from __future__ import annotations

import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from operator import call
from typing import Any, NamedTuple

from modelgate_kernels import ModelKernel

from contract.errors import ModelgateError
from contract.model.environments import TODAY
from contract.model.experiments import Experiment, ExperimentKind
from contract.model.manifest import ModelManifest
from contract.model.repository import Repository
from runtime.environments import environment_here
from scoring.artifacts import load
from scoring.held_objects import holds_own_code
from scoring.kernels import kernel_for
from scoring.process_state import Apart, changed_by
from scoring.trust import Trust
from scoring.unusual import UnusualValues
from worker import memory

log = logging.getLogger("worker")

Version = tuple[str, int]
"""A model and the number of its version."""


def text_of(version: Version) -> str:
    """Return `loan@3`."""
    return f"{version[0]}@{version[1]}"


def version_in(text: str) -> Version:
    """Return the version that `text_of` has written."""
    name, _, number = text.partition("@")
    return name, int(number)


_TRIM_AFTER = 0.1
"""The part of its budget that a cache loads and evicts before it returns free memory. More often would be a waste: the
next models use most of it again."""

_COLLECT_AFTER = 0.1
"""The part of its budget that evicted models may still take, because they refer to themselves, before a cache has such
garbage collected. That takes as long as loading a model."""


@dataclass(frozen=True)
class Model:
    """An estimator in memory, its kernel if it has one, the manifest that says how to use it, the bytes that it takes,
    and what finds unusual values in its rows. `changes`: what loading it has changed of the process; this was put back.
    `watched`: asking it may change something, so it is asked in `ModelCache.watching`."""

    manifest: ModelManifest
    estimator: Any
    kernel: ModelKernel | None
    size: int
    unusual: UnusualValues
    changes: Collection[str] = ()
    watched: bool = False


class Load(NamedTuple):
    """A version of `model` was loaded from disk, or could not be, in so many seconds."""

    model: str
    seconds: float
    worked: bool


class ModelLoader:
    """Loads models, and remembers how much memory each has taken."""

    def __init__(self, repository: Repository, trust: Trust) -> None:
        self._repository = repository
        self._trust = trust
        self._sizes: dict[Version, int] = {}
        self._environments: dict[Version, str] = {}
        self._measured: set[Version] = set()
        self._compared: dict[Version, bool] = {}
        """Whether the kernels of a version are equal, if that had to be found here."""
        self.loaded: Callable[[Load], object] = lambda _: None
        """Called with each load."""
        self.compare: Callable[[Callable[[], str | None]], str | None] = call
        """Makes the comparisons of kernels, which ask the model."""

    def size(self, name: str, version: int) -> int:
        """Return the bytes that the model takes in memory, or those of its artifact if it was never loaded here. Raises
        `ModelgateError`."""
        if (name, version) not in self._sizes:
            self._sizes[name, version] = self._repository.manifest(name, version).artifact.size
        return self._sizes[name, version]

    def lives_here(self, name: str, version: int) -> bool:
        """Return whether the version lives in the environment of this process. One that cannot be read counts as of
        today's, whose workers say why."""
        if (name, version) not in self._environments:
            try:
                self._environments[name, version] = self._repository.manifest(name, version).environment
            except ModelgateError:
                return environment_here() == TODAY
        return self._environments[name, version] == environment_here()

    def shadows(self, models: Iterable[str]) -> dict[str, Experiment]:
        """Return by id the shadow experiments of `models`, as of the last look at their aliases, whose candidates are
        here and live in the environment of this process."""
        running = ((name, self._repository.settings(name).experiment) for name in models)
        return {
            experiment.id: experiment
            for name, experiment in running
            if experiment
            and experiment.plan.kind is ExperimentKind.SHADOW
            and self._repository.has_version(name, experiment.candidate)
            and self.lives_here(name, experiment.candidate)
        }

    def load(self, name: str, version: int) -> Model:
        """Load the model. Raises `ModelgateError` if its manifest or artifact is unusable, and `MemoryError`."""
        manifest = self._repository.manifest(name, version)
        measured = (name, version) in self._measured  # which takes a millisecond where much is loaded
        before, modules, began = 0 if measured else memory.allocated(), len(sys.modules), time.perf_counter()
        try:
            (estimator, kernel), changes = changed_by(lambda: self._loaded(manifest))
        except (ModelgateError, MemoryError) as error:
            self.loaded(Load(name, time.perf_counter() - began, False))
            if isinstance(error, MemoryError):
                raise
            # If it was deleted meanwhile, this raises an error that says so.
            self._repository.read_manifest(name, version)
            raise
        self.loaded(Load(name, time.perf_counter() - began, True))
        # Modules that it has imported stay when it goes, and other objects may have been freed meanwhile.
        if not measured and len(sys.modules) == modules:
            self._sizes[name, version] = max(memory.allocated() - before, manifest.artifact.size)
            self._measured.add((name, version))
        size = self.size(name, version)
        took = round((time.perf_counter() - began) * 1000, 1)
        log.info("loaded", extra={"model": name, "version": version, "bytes": size, "duration_ms": took})
        watched = bool(changes or manifest.artifact.changes) or holds_own_code(estimator)
        return Model(manifest, estimator, kernel, size, UnusualValues(manifest), changes, watched)

    def _loaded(self, manifest: ModelManifest) -> tuple[Any, ModelKernel | None]:
        estimator = load(manifest, self._repository.files(manifest.name, manifest.version), self._trust)
        return estimator, kernel_for(estimator, manifest, self._compared, self.compare)


class ModelCache:
    """The models of a scorer: those that it shares with its template, and own ones that it loads on first use.

    The own ones take at most `budget()` bytes together. If that is too little, those that `elsewhere()` contains go
    first, because another scorer holds them, too; then the least recently used. The last one used always stays.
    """

    def __init__(
        self,
        loader: ModelLoader,
        budget: Callable[[], int],
        shared: Mapping[Version, Model] | None = None,
        elsewhere: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._loader = loader
        self._budget = budget
        self._shared = shared or {}
        self._shared_names = frozenset(name for name, _ in self._shared)
        self._elsewhere = elsewhere
        self._own: OrderedDict[Version, Model] = OrderedDict()
        self.apart = Apart()
        self._moved = 0
        """The bytes that were loaded and evicted since free memory was last returned."""
        self._rest = 0
        """The bytes of all other objects after the last collection of garbage."""
        self.size = 0
        """The bytes of the own models."""
        self.revision = 0
        """Grows with each change of the own models."""

    def __contains__(self, version: Version) -> bool:
        return version in self._shared or version in self._own

    @property
    def own(self) -> Collection[Version]:
        """The own models."""
        return self._own.keys()

    def shares(self, name: str) -> bool:
        """Return whether the scorer has a version of the model from its template."""
        return name in self._shared_names

    def watching(self, name: str, version: int) -> AbstractContextManager[None]:
        """Return the context in which a version is asked, or may be. A model that changes nothing costs nothing."""
        if (model := self._in_memory((name, version))) is None or not model.watched:
            return nullcontext()
        return self.apart.watching(name, version, changed=bool(model.changes or model.manifest.artifact.changes))

    def _in_memory(self, version: Version) -> Model | None:
        return self._shared.get(version) or self._own.get(version)

    def get(self, name: str, version: int) -> Model:
        """Return the model, and load it if it is not in memory.

        Raises `ModelgateError` if its manifest or artifact is unusable, and `MemoryError`; the next call tries again.
        """
        key = (name, version)
        model = self._in_memory(key)
        if model is None:
            self._evict_beyond(self._budget() - self._loader.size(name, version), keep=0)
            model = self._own[key] = self._loader.load(name, version)
            self.size += model.size
            self.revision += 1
            self._moved += model.size
            self._evict_beyond(self._budget(), keep=1)
        elif key in self._own:
            self._own.move_to_end(key)
        return model

    def tidy(self) -> None:
        """Evict what exceeds the budget, which may have shrunk, and return free memory. Call it between batches."""
        if not self._own:
            return
        budget = self._budget()
        self._evict_beyond(budget, keep=1)
        if self._moved > _TRIM_AFTER * budget:
            self._moved = 0
            rest = memory.allocated() - self.size
            collect = rest - self._rest > _COLLECT_AFTER * budget
            memory.give_back(collect=collect)
            if collect:
                self._rest = memory.allocated() - self.size

    def _evict_beyond(self, budget: int, keep: int) -> None:
        """Evict own models until the rest takes at most `budget` bytes, but for the last `keep`."""
        if self.size <= budget:
            return
        elsewhere = self._elsewhere()
        candidates = list(self._own)[: len(self._own) - keep]
        for key in sorted(candidates, key=lambda key: key[0] not in elsewhere):  # otherwise the order stays
            if self.size <= budget:
                return
            model = self._own.pop(key)
            self.size -= model.size
            self._moved += model.size
            self.revision += 1

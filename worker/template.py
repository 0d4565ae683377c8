"""`python -m worker.template` loads models once and forks the scorers that share them. It never predicts.

Some estimators use OpenMP: after a single `predict`, children forked from the process hang in `predict`. So a process
of its own loads models and does nothing else.
"""

from __future__ import annotations

import dataclasses
import gc
import io
import json
import logging
import operator
import os
import select
import signal
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from broker.state.load_status import CHANGES_PROCESS, NO_ROOM
from contract.errors import ModelgateError, SettingsError
from contract.model.repository import CURRENT, RepositoryWithRemoved
from contract.settings import MB, Settings
from contract.work.jobs import timestamp_now
from runtime import logs
from runtime.environments import environment_here
from runtime.limits import threads
from runtime.tracing import check_tracing
from scoring.process_state import ProcessState
from scoring.trust import Trust
from worker import memory
from worker.activity import ActivityTable
from worker.awaited import AwaitedVersions
from worker.batch_scorer import LOAD_TIMEOUT
from worker.forked import compare_in_child
from worker.model_cache import Load, Model, ModelLoader, Version, text_of, version_in
from worker.processes import CHANGED_PROCESS, Lifeline
from worker.scorer import run_scorer
from worker.shadow import run_shadow
from worker.sharing import SHARE, Sharing

log = logging.getLogger("worker")

NICE = 10
"""Niceness of the template and its scorers. Where processors are scarce, gateway and Redis go first: batches are larger
then, and loading a model delays no request."""

_ALIAS_POLL_INTERVAL = 1.0
"""Seconds between two reads of the aliases."""

_MAX_FORK_DELAY = 2.0
"""Seconds that the first scorers wait for models to be loaded. Those that start without are replaced later."""

_LOAD_PAUSE = 2.0
"""The pause after a load that is not urgent, as a multiple of its time: scorers need the processor more."""

_RETENTION = 2.0
"""Seconds that a version stays loaded after its last alias has moved: jobs pinned to it may still come."""

_OTHER_ALIASES = 0.9
"""The part of the memory that versions of other aliases than `current` may fill. Scorers need the rest, for versions
that no alias names."""

_REPLACEMENT_RESERVE = 0.1
"""The part of the memory, besides that of the shared models, for a new version of one until the old one is evicted."""


class _Unusable(NamedTuple):
    """A version with these files cannot be loaded, for `reason`, `since` a time as RFC 3339."""

    files: frozenset[tuple[str, int, int]]
    reason: str
    since: str


class Template:
    """Holds the models that aliases name or the supervisor requests, and forks scorers on request."""

    def __init__(
        self, settings: Settings, control: socket.socket, activities: ActivityTable, blocked: Mapping[str, str]
    ) -> None:
        """The supervisor sends its commands through `control`: fork a scorer, load versions besides those that aliases
        name. `blocked` maps versions (`loan@3`) that must not be loaded to the reason."""
        self._settings = settings
        self._control = control
        self._activities = activities
        # Absolute, since a model may change the working directory.
        self._repository = RepositoryWithRemoved(settings.models_dir.absolute())
        self._awaited = AwaitedVersions(self._repository, mirrored=bool(settings.models_url))
        self._loader = ModelLoader(self._repository, Trust.from_settings(settings))
        self._loads: list[Load] = []
        self._loader.loaded = self._loads.append
        self._loader.compare = partial(compare_in_child, self._close_connections, settings.scorer_memory_mb)
        self._process = ProcessState()
        self._models: dict[Version, Model] = {}
        self._budget = settings.model_cache_mb * MB
        self._sharing = Sharing(self._budget)
        self._unusable = {
            text: _Unusable(self._stamps(version_in(text)), why, timestamp_now()) for text, why in blocked.items()
        }
        self._requested: list[Version] = []
        self._refused: dict[str, str] = {}
        self._failures: dict[str, tuple[str, str]] = {}
        self._idle: dict[Version, float] = {}
        self._generation = 0
        self._loaded_at_generation: dict[str, int] = {}
        self._evicted_at_generation = 0
        self._forked_at_generation: dict[int, int] = {}
        self._shadows = False
        self._reported = b""
        self._buffer = b""
        self._descriptors: deque[int] = deque()
        self._forks: deque[tuple[int, str, Lifeline]] = deque()

    def run(self) -> None:
        """Run until the supervisor is gone."""
        forks_due = time.monotonic() + _MAX_FORK_DELAY
        while True:
            self._activities.beat(self._activities.template)
            began = time.monotonic()
            more = self._load_next()
            if not more:
                self._report_state()
            urgent = self._requested or not self._sharing.crowded
            pause = 0.0 if urgent else _LOAD_PAUSE * (time.monotonic() - began)
            ready, _, _ = select.select([self._control], [], [], pause if more else _ALIAS_POLL_INTERVAL)
            if ready and not self._read_commands():
                return
            while self._forks and (not more or time.monotonic() > forks_due):
                self._fork(*self._forks.popleft())

    # With the supervisor

    def _read_commands(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._control, 65536, 1)
        self._descriptors.extend(descriptors)
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for message in map(json.loads, lines):
            if "fork" in message:
                slot, inc = message["fork"]
                self._forks.append((slot, inc, Lifeline(socket.socket(fileno=self._descriptors.popleft()))))
            else:
                self._requested = [version_in(version) for version in message["versions"]]
        return bool(data)

    def _report_state(self) -> None:
        """Send the supervisor what is in memory, if that has changed."""
        state = {
            "generation": self._generation,
            "versions": self._loaded_at_generation,
            "refused": self._refused,
            "failures": self._failures,
            "shadows": self._shadows,
            "loads": self._loads,
        }
        text = json.dumps(state).encode() + b"\n"
        if text != self._reported:
            self._control.sendall(text)
            self._reported = text
            self._loads.clear()

    # Models

    def _load_next(self) -> bool:
        """Load one wanted version, if there is room for it; return whether it did."""
        requested, current, others = self._wanted_versions()
        self._evict_idle({*requested, *current, *others})
        self._update_generation()
        self._refused, self._failures = {}, {}
        self._claim(0)
        idle = list(self._idle)
        if self._sharing.crowded:
            loaded = any(self._load_if_possible(v, [*idle, *others], SHARE + _REPLACEMENT_RESERVE) for v in requested)
            room = SHARE if self._scorers_follow else 0.0
            loaded = loaded or any(self._load_if_possible(v, (), room) for v in [*current, *others])
        else:
            loaded = any(self._load_if_possible(v, [*idle, *others], 1.0) for v in [*requested, *current])
            loaded = loaded or any(self._load_if_possible(v, idle, _OTHER_ALIASES) for v in others)
        self._update_generation()
        return loaded

    @property
    def _scorers_follow(self) -> bool:
        """Whether all scorers were forked after the last model was evicted. The others still have it in memory."""
        return min(self._forked_at_generation.values(), default=self._generation) >= self._evicted_at_generation

    def _update_generation(self) -> None:
        held = {text_of(version) for version in self._models}
        if held != self._loaded_at_generation.keys():
            self._generation += 1
            if self._loaded_at_generation.keys() - held:
                self._evicted_at_generation = self._generation
                gc.unfreeze()
                memory.give_back(collect=True)
            self._loaded_at_generation = {
                text: self._loaded_at_generation.get(text, self._generation) for text in sorted(held)
            }

    def _wanted_versions(self) -> tuple[Collection[Version], Collection[Version], Collection[Version]]:
        """Return the versions that are requested, those that are `current` (if not all fit, the ones chosen to be
        shared), and the others in use, which may be in memory so that a rollback takes no time."""
        only = self._settings.worker_models
        aliases = {name: self._repository.aliases(name) for name in only or self._repository.names()}
        current = {name: versions[CURRENT] for name, versions in aliases.items() if CURRENT in versions}
        current = {name: version for name, version in current.items() if self._loader.lives_here(name, version)}
        sizes = {name: self._size((name, version)) for name, version in current.items()}
        chosen = self._sharing.choose(sizes, {name for name, _ in self._models}, self._use)
        requested = [version for version in self._requested if not only or version[0] in only]
        named = [(name, current[name]) for name in chosen]
        needed = {*requested, *named}
        names = chosen if self._sharing.crowded else aliases
        others: Collection[Version] = dict.fromkeys(
            (name, version) for name in names for version in self._repository.in_use(name)
        )
        others = [version for version in others if version not in needed and self._loader.lives_here(*version)]
        self._shadows = bool(self._loader.shadows(aliases))
        return requested, named, others

    def _use(self) -> Mapping[str, float]:
        """Return how many jobs of each model all scorers have scored lately."""
        use: Counter[str] = Counter()
        for slot in self._activities.scorers:
            use.update(self._activities.use(slot))
        return use

    def _size(self, version: Version) -> int:
        try:
            return self._loader.size(*version)
        except ModelgateError:
            return 0  # it cannot be loaded

    def _claim(self, more: int) -> None:
        """Tell the scorers how much of the memory is not theirs: what is shared, with `more` bytes that will be."""
        size = sum(model.size for model in self._models.values()) + more
        self._activities.set_shared(self._activities.template, size, crowded=self._sharing.crowded)

    def _evict_idle(self, wanted: set[Version]) -> None:
        now = time.monotonic()
        self._idle = {version: self._idle.get(version, now) for version in self._models if version not in wanted}
        for version, since in list(self._idle.items()):
            replaced = self._sharing.crowded and version[0] not in self._sharing.chosen
            if replaced or now - since > _RETENTION:
                del self._models[version], self._idle[version]

    def _load_if_possible(self, version: Version, evictable: Collection[Version], room: float) -> bool:
        """Load the version if it is not in memory; return whether it did. Evict from `evictable` if all models would
        otherwise take more than the part `room` of the memory."""
        if version in self._models:
            return False
        text, files = text_of(version), self._stamps(version)
        unusable = self._unusable.get(text)
        if unusable is None or files != unusable.files:
            try:
                if self._make_room(version, evictable, room):
                    self._unusable.pop(text, None)
                    self._load(version)
                    return True
            except (ModelgateError, MemoryError) as error:
                if self._awaited.awaits(*version):
                    return False
                # Scorers fail its jobs with this error. Not tried again until its files change.
                unusable = _Unusable(files, str(error), unusable.since if unusable else timestamp_now())
                self._unusable[text] = unusable
                log.warning("%s", error, extra={"model": version[0], "version": version[1]})
        if unusable and unusable.reason != CHANGES_PROCESS:
            self._failures[text] = (unusable.reason, unusable.since)
        if version in self._requested:
            self._refused[text] = unusable.reason if unusable else NO_ROOM
        return False

    def _make_room(self, version: Version, evictable: Collection[Version], room: float) -> bool:
        """Evict as many of `evictable` as the version needs, and none if all of them would not be enough.

        Returns whether the version fits now. Raises `ModelgateError`.
        """
        if self._sharing.crowded and version[0] not in self._sharing.chosen:
            return False
        excess = sum(model.size for model in self._models.values()) + self._loader.size(*version) - room * self._budget
        dropped = []
        for other in evictable:
            if excess > 0 and other in self._models:
                dropped.append(other)
                excess -= self._models[other].size
        if excess > 0:
            return False
        for other in dropped:
            del self._models[other]
        return True

    def _stamps(self, version: Version) -> frozenset[tuple[str, int, int]]:
        return self._repository.files(*version).stamps()

    def _load(self, version: Version) -> None:
        slot, text = self._activities.template, text_of(version)
        self._activities.begin(slot, [text], LOAD_TIMEOUT)
        self._claim(self._size(version))
        try:
            model = self._loader.load(*version)
            memory.give_back()
        except (ModelgateError, MemoryError):
            self._activities.end(slot)
            raise
        if threads() > 1 or (model.changes and self._process.put_back()):
            # A fork would copy only one thread, and the locks that the others hold; or what cannot be put back.
            os._exit(CHANGED_PROCESS)
        self._activities.end(slot)
        if model.changes:
            self._unusable[text] = _Unusable(self._stamps(version), CHANGES_PROCESS, timestamp_now())
            log.warning("%s changes %s of its process: %s", text, " and ".join(model.changes), CHANGES_PROCESS)
        else:
            self._models[version] = model

    def _fork(self, slot: int, inc: str, lifeline: Lifeline) -> None:
        run = run_shadow if slot == self._activities.shadow else run_scorer
        if slot in self._activities.scorers:
            self._forked_at_generation[slot] = self._generation
        gc.freeze()
        try:
            child = os.fork() == 0
        except OSError as error:
            # The supervisor notices that the connection closes, and tries again after a pause.
            log.warning("cannot fork a scorer: %s", error)
            child = False
        if child:
            code = 1
            try:
                self._close_connections()
                self._loader.compare = operator.call
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                gc.enable()
                if lifeline.wait_for_start(self._generation):
                    run(slot, inc, self._activities, self._loader, self._models, self._repository, self._settings)
                code = 0
            except BaseException as error:
                log.critical("a scorer ends with %s", type(error).__name__, exc_info=True)
            finally:
                os._exit(code)
        lifeline.close()

    def _close_connections(self) -> None:
        """Close what a child must not hold: each end has one process, whose death closes it."""
        self._control.close()
        for _, _, lifeline in self._forks:
            lifeline.close()


def _log_apart_from_output() -> None:
    """Log to standard error as it is, and let all that models print, there too, go to the supervisor by lines."""
    logs.configure("worker", os.fdopen(os.dup(sys.stderr.fileno()), "w"))
    os.dup2(sys.stdout.fileno(), sys.stderr.fileno())
    assert isinstance(sys.stdout, io.TextIOWrapper)  # noqa: S101
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")


def _with_possible_traces(settings: Settings) -> Settings:
    """Return the settings, without traces in an environment that has no OpenTelemetry: it is there to serve."""
    try:
        check_tracing(settings)
    except SettingsError:
        log.warning("no traces of what %s scores: OpenTelemetry is not installed there", environment_here())
        return dataclasses.replace(settings, otel_exporter_otlp_endpoint="")
    return settings


def main(control: str, activities: str, slots: str, blocked: str) -> None:
    """`control` and `activities` are descriptors, `slots` is a number, `blocked` a JSON object."""
    _log_apart_from_output()
    os.nice(NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The kernel reaps dead scorers; the supervisor notices by their connections.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.disable()
    try:
        template = Template(
            _with_possible_traces(Settings.from_environ()),
            socket.socket(fileno=int(control)),
            ActivityTable(int(activities), int(slots)),
            json.loads(blocked),
        )
    except SettingsError as error:
        log.error("%s", error)
        sys.exit(1)
    with suppress(ConnectionError):  # the supervisor is gone
        template.run()
    sys.stdout.flush()
    # Python's own end takes up all libraries; on a busy machine that takes a nice process half a minute.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])

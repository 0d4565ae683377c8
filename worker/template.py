"""`python -m worker.template` loads models once and forks the scorers that share them. It never predicts.

Some estimators use OpenMP: after a single `predict`, children forked from the process hang in `predict`. So a process
of its own loads models and does nothing else.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Collection, Mapping
from contextlib import suppress

from broker.load_status import NO_ROOM
from contract.errors import ModelgateError
from contract.repository import CURRENT, Repository
from contract.settings import MB, Settings, SettingsError
from runtime import logs
from scoring.trust import Trust
from worker.activity import ActivityTable
from worker.batch_scorer import LOAD_TIMEOUT
from worker.lifeline import Lifeline
from worker.model_cache import ModelCache
from worker.processes import STARTED_THREADS
from worker.scorer import run_scorer

log = logging.getLogger("worker")

NICE = 10
"""Niceness of the template and its scorers. Where processors are scarce, gateway and Redis go first: batches are larger
then, and loading a model delays no request."""

_ALIAS_POLL_INTERVAL = 1.0
"""Seconds between two reads of the aliases."""

_MAX_FORK_DELAY = 2.0
"""Seconds that the first scorers wait for models to be loaded. Those that start without are replaced later."""

_RETENTION = 2.0
"""Seconds that a version stays loaded after its last alias has moved: jobs pinned to it may still come."""

Version = tuple[str, int]
Files = frozenset[tuple[str, int, int]]


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
        self._repository = Repository(settings.models_dir.absolute())
        self._cache = ModelCache(self._repository, settings.model_cache_mb * MB, Trust.from_settings(settings))
        self._unusable = {text: (self._files(_parsed(text)), why) for text, why in blocked.items()}
        self._requested: list[Version] = []
        self._refused: dict[str, str] = {}
        self._idle: dict[Version, float] = {}
        self._generation = 0
        self._loaded_at_generation: dict[str, int] = {}
        self._reported = b""
        self._buffer = b""
        self._descriptors: deque[int] = deque()
        self._forks: deque[tuple[int, str, Lifeline]] = deque()

    def run(self) -> None:
        """Run until the supervisor is gone."""
        forks_due = time.monotonic() + _MAX_FORK_DELAY
        while True:
            more = self._load_next()
            if not more:
                self._report_state()
            ready, _, _ = select.select([self._control], [], [], 0 if more else _ALIAS_POLL_INTERVAL)
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
                self._requested = [_parsed(version) for version in message["versions"]]
        return bool(data)

    def _report_state(self) -> None:
        """Send the supervisor what is in memory, if that has changed."""
        state = {"generation": self._generation, "versions": self._loaded_at_generation, "refused": self._refused}
        text = json.dumps(state).encode() + b"\n"
        if text != self._reported:
            self._control.sendall(text)
            self._reported = text

    # Models

    def _load_next(self) -> bool:
        """Load one wanted version, if there is room for it; return whether it did."""
        needed, evictable = self._wanted_versions()
        self._evict_idle({*needed, *evictable})
        self._refused = {}
        idle = list(self._idle)
        loaded = any(self._load_if_possible(version, [*idle, *evictable]) for version in needed) or any(
            self._load_if_possible(version, idle) for version in evictable
        )
        self._update_generation()
        return loaded

    def _update_generation(self) -> None:
        held = {_text(version) for version in self._cache}
        if held != self._loaded_at_generation.keys():
            if self._loaded_at_generation.keys() - held:
                gc.unfreeze()
                gc.collect()
            self._generation += 1
            self._loaded_at_generation = {
                text: self._loaded_at_generation.get(text, self._generation) for text in sorted(held)
            }

    def _wanted_versions(self) -> tuple[Collection[Version], Collection[Version]]:
        """Return the versions that must be in memory, requested and `current` ones, and those that may be: the ones
        with other aliases, so that a rollback takes no time."""
        only = self._settings.worker_models
        aliases = {name: self._repository.aliases(name) for name in only or self._repository.names()}
        requested = [version for version in self._requested if not only or version[0] in only]
        current = [(name, versions[CURRENT]) for name, versions in aliases.items() if CURRENT in versions]
        others = [(name, version) for name, versions in aliases.items() for version in versions.values()]
        needed = dict.fromkeys(requested + current)
        return needed, [version for version in dict.fromkeys(others) if version not in needed]

    def _evict_idle(self, wanted: set[Version]) -> None:
        now = time.monotonic()
        self._idle = {version: self._idle.get(version, now) for version in self._cache if version not in wanted}
        dropped = [version for version, since in self._idle.items() if now - since > _RETENTION]
        self._cache.evict(dropped)

    def _load_if_possible(self, version: Version, evictable: Collection[Version]) -> bool:
        """Load the version if it is not in memory, evicting from `evictable` if needed; return whether it did."""
        if version in self._cache:
            return False
        text, files = _text(version), self._files(version)
        if files != self._unusable.get(text, (None, ""))[0]:
            try:
                if self._cache.make_room(*version, evictable):
                    self._load(version)
                    return True
            except (ModelgateError, MemoryError) as error:
                # Scorers fail its jobs with this error. Not tried again until its files change.
                self._unusable[text] = (files, str(error))
                log.warning("%s", error)
        if version in self._requested:
            _, why = self._unusable.get(text, (files, NO_ROOM))
            self._refused[text] = why
        return False

    def _files(self, version: Version) -> Files:
        """Return what changes when a file of the version changes; empty if there is none."""
        try:
            with os.scandir(self._repository.version_dir(*version)) as entries:
                found = [(entry.name, entry.stat()) for entry in entries]
        except OSError:
            return frozenset()
        return frozenset((name, stat.st_mtime_ns, stat.st_size) for name, stat in found)

    def _load(self, version: Version) -> None:
        slot, text = self._activities.slots - 1, _text(version)
        self._activities.begin(slot, [text], LOAD_TIMEOUT)
        try:
            self._cache.get(*version)
        except (ModelgateError, MemoryError):
            self._activities.end(slot)
            raise
        if _threads() > 1:
            # A fork would copy only one thread, and the locks that the others hold.
            os._exit(STARTED_THREADS)
        self._activities.end(slot)

    def _fork(self, slot: int, inc: str, lifeline: Lifeline) -> None:
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
                self._control.close()
                for _, _, other in self._forks:
                    other.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                gc.enable()
                if lifeline.wait_for_start(self._generation):
                    run_scorer(slot, inc, self._activities, self._cache, self._repository, self._settings)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        lifeline.close()


def _text(version: Version) -> str:
    return f"{version[0]}@{version[1]}"


def _parsed(text: str) -> Version:
    name, _, number = text.partition("@")
    return name, int(number)


def _threads() -> int:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 1


def main(control: str, activities: str, slots: str, blocked: str) -> None:
    """`control` and `activities` are descriptors, `slots` is a number, `blocked` a JSON object."""
    logs.configure("worker")
    os.nice(NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The kernel reaps dead scorers; the supervisor notices by their connections.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.disable()
    try:
        template = Template(
            Settings.from_environ(),
            socket.socket(fileno=int(control)),
            ActivityTable(int(activities), int(slots)),
            json.loads(blocked),
        )
    except SettingsError as error:
        log.error("%s", error)
        sys.exit(1)
    with suppress(ConnectionError):  # the supervisor is gone
        template.run()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""`python -m worker.template`: loads models once and forks the scorers that share them. It never predicts.

A process that has predicted a single row with some estimators (OpenMP) leaves children that hang in `predict`. So the
supervisor starts this one, which imports and unpickles, and nothing else.
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
from contract.settings import Settings, SettingsError
from scoring.trust import Trust
from worker.batches import LOAD_SECONDS
from worker.board import Board
from worker.children import STARTED_THREADS
from worker.lifeline import Lifeline
from worker.logs import to_stderr
from worker.model_cache import ModelCache
from worker.scorer import serve

log = logging.getLogger("worker")

NICE = 10
"""Of the template and its scorers. Where processors are short, gateway and Redis go first: more requests are there when
a batch begins, and a model that is being loaded holds nobody up."""

_LOOK_SECONDS = 1.0
"""How often the aliases are read."""

_PATIENCE = 2.0
"""Seconds that scorers wait for models to be loaded; after that they start without, and are forked anew later."""

_LINGER = 2.0
"""Seconds that a version stays when no alias names it any more: jobs that were pinned to it may still come."""

Version = tuple[str, int]
Files = frozenset[tuple[str, int, int]]


class Template:
    def __init__(self, settings: Settings, control: socket.socket, board: Board, avoid: Mapping[str, str]) -> None:
        """`control` brings the slots and incarnations to be forked, and the versions wanted beside those that aliases
        name. `avoid` names versions (`loan@3`) whose loading has ended a template before, and says why."""
        self._settings = settings
        self._control = control
        self._board = board
        # Whole, since a model may change the directory of a process.
        self._repository = Repository(settings.models_dir.absolute())
        self._cache = ModelCache(self._repository, settings.model_cache_mb * 1_000_000, Trust.from_settings(settings))
        self._unusable = {text: (self._files(_parsed(text)), why) for text, why in avoid.items()}
        self._asked: list[Version] = []
        self._refused: dict[str, str] = {}
        self._idle: dict[Version, float] = {}
        self._generation = 0
        self._since: dict[str, int] = {}
        self._told = b""
        self._heard = b""
        self._descriptors: deque[int] = deque()
        self._forks: deque[tuple[int, str, Lifeline]] = deque()

    def run(self) -> None:
        """Until the supervisor is gone."""
        patience_ends = time.monotonic() + _PATIENCE
        while True:
            more = self._look()
            if not more:
                self._tell()
            ready, _, _ = select.select([self._control], [], [], 0 if more else _LOOK_SECONDS)
            if ready and not self._listen():
                return
            while self._forks and (not more or time.monotonic() > patience_ends):
                self._fork(*self._forks.popleft())

    # With the supervisor

    def _listen(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._control, 65536, 1)
        self._descriptors.extend(descriptors)
        *lines, self._heard = (self._heard + data).split(b"\n")
        for message in map(json.loads, lines):
            if "fork" in message:
                slot, inc = message["fork"]
                self._forks.append((slot, inc, Lifeline(socket.socket(fileno=self._descriptors.popleft()))))
            else:
                self._asked = [_parsed(version) for version in message["want"]]
        return bool(data)

    def _tell(self) -> None:
        """What is in memory, when it has changed."""
        state = {"generation": self._generation, "versions": self._since, "refused": self._refused}
        text = json.dumps(state).encode() + b"\n"
        if text != self._told:
            self._control.sendall(text)
            self._told = text

    # Models

    def _look(self) -> bool:
        """Loads one version that is wanted, if there is one and room for it; whether it did."""
        needed, spare = self._wanted()
        self._drop_idle({*needed, *spare})
        self._refused = {}
        idle = list(self._idle)
        loaded = any(self._load_if_possible(version, [*idle, *spare]) for version in needed) or any(
            self._load_if_possible(version, idle) for version in spare
        )
        self._note_changes()
        return loaded

    def _note_changes(self) -> None:
        held = {_text(version) for version in self._cache}
        if held != self._since.keys():
            if self._since.keys() - held:
                gc.unfreeze()
                gc.collect()
            self._generation += 1
            self._since = {text: self._since.get(text, self._generation) for text in sorted(held)}

    def _wanted(self) -> tuple[Collection[Version], Collection[Version]]:
        """What has to be in memory: versions asked for, and the current ones. And what may be: those of other aliases,
        so that going back to one takes no time."""
        only = self._settings.worker_models
        aliases = {name: self._repository.aliases(name) for name in only or self._repository.names()}
        asked = [version for version in self._asked if not only or version[0] in only]
        current = [(name, versions[CURRENT]) for name, versions in aliases.items() if CURRENT in versions]
        others = [(name, version) for name, versions in aliases.items() for version in versions.values()]
        needed = dict.fromkeys(asked + current)
        return needed, [version for version in dict.fromkeys(others) if version not in needed]

    def _drop_idle(self, wanted: set[Version]) -> None:
        now = time.monotonic()
        self._idle = {version: self._idle.get(version, now) for version in self._cache if version not in wanted}
        dropped = [version for version, since in self._idle.items() if now - since > _LINGER]
        self._cache.drop(dropped)

    def _load_if_possible(self, version: Version, spare: Collection[Version]) -> bool:
        """Whether it was loaded now; `spare` may go for it."""
        if version in self._cache:
            return False
        text, files = _text(version), self._files(version)
        if files != self._unusable.get(text, (None, ""))[0]:
            try:
                if self._cache.make_room(*version, spare):
                    self._load(version)
                    return True
            except (ModelgateError, MemoryError) as error:
                # Scorers will say so to everybody who asks. Until it has been mended: signed, or put back.
                self._unusable[text] = (files, str(error))
                log.warning("%s", error)
        if version in self._asked:
            _, why = self._unusable.get(text, (files, NO_ROOM))
            self._refused[text] = why
        return False

    def _files(self, version: Version) -> Files:
        """What tells the files of a version from others in their place; empty without any."""
        try:
            with os.scandir(self._repository.version_dir(*version)) as entries:
                found = [(entry.name, entry.stat()) for entry in entries]
        except OSError:
            return frozenset()
        return frozenset((name, stat.st_mtime_ns, stat.st_size) for name, stat in found)

    def _load(self, version: Version) -> None:
        slot, text = self._board.slots - 1, _text(version)
        self._board.begin(slot, [text], LOAD_SECONDS)
        try:
            self._cache.get(*version)
        except (ModelgateError, MemoryError):
            self._board.end(slot)
            raise
        if _threads() > 1:
            # A fork would copy one of them and whatever locks the others hold.
            os._exit(STARTED_THREADS)
        self._board.end(slot)

    def _fork(self, slot: int, inc: str, lifeline: Lifeline) -> None:
        gc.freeze()
        try:
            child = os.fork() == 0
        except OSError as error:
            # The supervisor sees that there is none, and asks again after a pause.
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
                if lifeline.hold(self._generation):
                    serve(slot, inc, self._board, self._cache, self._repository, self._settings)
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


def main(control: str, board: str, slots: str, avoid: str) -> None:
    """The arguments are two descriptors, the number of slots, and an object as JSON."""
    to_stderr()
    os.nice(NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Nobody here waits for scorers: the supervisor sees their ends.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.disable()
    try:
        template = Template(
            Settings.from_environ(),
            socket.socket(fileno=int(control)),
            Board(int(board), int(slots)),
            json.loads(avoid),
        )
    except SettingsError as error:
        log.error("%s", error)
        sys.exit(1)
    with suppress(ConnectionError):  # the supervisor is gone
        template.run()


if __name__ == "__main__":
    main(*sys.argv[1:])

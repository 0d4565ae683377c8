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

from contract.errors import ModelgateError
from contract.repository import CURRENT, Repository
from contract.settings import Settings, SettingsError
from scoring.trust import Trust
from worker.batches import LOAD_SECONDS
from worker.board import Board
from worker.lifeline import Lifeline
from worker.logs import to_stderr
from worker.model_cache import ModelCache
from worker.scorer import serve

log = logging.getLogger("worker")

_LOOK_SECONDS = 1.0
"""How often the aliases are read."""

_PATIENCE = 2.0
"""Seconds that scorers wait for models to be loaded; after that they start without, and are forked anew later."""


class Template:
    def __init__(self, settings: Settings, control: socket.socket, board: Board, avoid: list[str]) -> None:
        """`control` brings the slots and incarnations to be forked. `avoid` names versions (`loan@3`) whose loading has
        ended a template before. Raises `SettingsError` when VERIFY_KEY cannot be used."""
        self._settings = settings
        self._control = control
        self._board = board
        self._unusable = set(avoid)
        self._repository = Repository(settings.models_dir)
        self._cache = ModelCache(self._repository, settings.model_cache_mb * 1_000_000, Trust.from_settings(settings))
        self._loaded = 0
        self._told: int | None = None
        self._wanted: deque[tuple[int, str, Lifeline]] = deque()

    def run(self) -> None:
        """Until the supervisor is gone."""
        patience_ends = time.monotonic() + _PATIENCE
        while True:
            more = self._load_one()
            if not more and self._told != self._loaded:
                self._told = self._loaded
                self._control.sendall(f"{self._loaded}\n".encode())
            ready, _, _ = select.select([self._control], [], [], 0 if more else _LOOK_SECONDS)
            if ready and not self._listen():
                return
            while self._wanted and (not more or time.monotonic() > patience_ends):
                self._fork(*self._wanted.popleft())

    def _listen(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self._control, 4096, 1)
        if not message:
            return False
        slot, inc = json.loads(message)
        self._wanted.append((slot, inc, Lifeline(socket.socket(fileno=descriptors[0]))))
        return True

    def _load_one(self) -> bool:
        """Loads a current version that is not loaded, as long as there is room; False: there is none."""
        named = {
            name: self._repository.aliases(name) for name in self._settings.worker_models or self._repository.names()
        }
        if self._cache.keep({(name, version) for name, aliases in named.items() for version in aliases.values()}):
            gc.unfreeze()
            gc.collect()
        for name, aliases in named.items():
            version = aliases.get(CURRENT)
            if version is None or (name, version) in self._cache or f"{name}@{version}" in self._unusable:
                continue
            try:
                if self._cache.fits(name, version):
                    self._load(name, version)
                    return True
            except (ModelgateError, MemoryError) as error:
                # Scorers will say so to everybody who asks, and see when it has been mended.
                self._unusable.add(f"{name}@{version}")
                log.warning("%s", error)
        return False

    def _load(self, name: str, version: int) -> None:
        slot = self._board.slots - 1
        self._board.begin(slot, [f"{name}@{version}"], LOAD_SECONDS)
        self._cache.get(name, version)
        if _threads() > 1:
            # A fork would copy one of them and whatever locks the others hold.
            log.warning("loading %s@%s starts threads: each scorer will load it for itself", name, version)
            os._exit(1)
        self._board.end(slot)
        self._loaded += 1

    def _fork(self, slot: int, inc: str, lifeline: Lifeline) -> None:
        gc.freeze()
        if os.fork() == 0:
            code = 1
            try:
                self._control.close()
                for _, _, other in self._wanted:
                    other.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                gc.enable()
                if lifeline.hold(self._loaded):
                    serve(slot, inc, self._board, self._cache, self._repository, self._settings)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        lifeline.close()


def _threads() -> int:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 1


def main(control: str, board: str, slots: str, avoid: str) -> None:
    """The arguments are two descriptors, the number of slots, and a list as JSON."""
    to_stderr()
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
    template.run()


if __name__ == "__main__":
    main(*sys.argv[1:])

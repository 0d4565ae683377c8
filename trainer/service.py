"""Keeps the model repository complete: looks what is missing, and has it trained in a process of its own.

That process may be killed at any time, and gives back the memory that training took.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from contract.errors import ModelgateError
from contract.repository import CURRENT, SIGNATURE_FILE, Repository
from contract.settings import Settings
from trainer.processes import RECIPES_OWN, Contained, environment
from trainer.publishing.signing import Seal


def say(line: str) -> None:
    """A whole line on stdout, at once: other processes write there too."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def lacking(root: Path, names: Sequence[str], seal: Seal) -> dict[str, str | None]:
    """Return those of `names` without a version that this environment can serve, with the fault of the current one.

    A model whose newest version waits to be signed is not among them.
    """
    # Slow to import, and not needed by those who only want --help.
    from scoring.artifacts import check_versions

    repository = Repository(root)
    reasons: dict[str, str | None] = {}
    for name in names:
        if seal.apart and _waits_for_signature(repository, name):
            continue
        current = repository.aliases(name).get(CURRENT)
        if current is None:
            reasons[name] = None
            continue
        try:
            manifest = repository.manifest(name, current)
            seal.trust.check(manifest, repository.version_dir(name, current))
            check_versions(manifest)
        except ModelgateError as error:
            reasons[name] = str(error)
    return reasons


class Attention(Protocol):
    """Hears of a stop; what else it does meanwhile is its own."""

    def told_to_stop(self, seconds: float) -> bool:
        """Waits for up to `seconds`."""


class Signals:
    """SIGTERM and SIGINT, noted whenever they come, and heard where `told_to_stop` waits.

    A handler that raises would also do so within an import, or before a new child is known.
    """

    def __init__(self) -> None:
        self._read, write = os.pipe()
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)

    def told_to_stop(self, seconds: float) -> bool:
        """Waits for up to `seconds`."""
        ready, _, _ = select.select([self._read], [], [], seconds)
        return bool(ready)


def _waits_for_signature(repository: Repository, name: str) -> bool:
    versions = repository.versions(name)
    return bool(versions) and not (repository.version_dir(name, versions[-1]) / SIGNATURE_FILE).exists()


def serve(
    root: Path,
    names: Sequence[str],
    seal: Seal,
    ready_file: Path | None,
    signals: Attention,
    every: float = 5,
    retry: float = 60,
) -> None:
    """Looks every `every` seconds, and again for what could not be trained only after `retry` seconds.

    `ready_file` is there from the first look on that left nothing untried. Returns when told to stop.
    """
    from trainer.publishing.disk import STAGING
    from trainer.publishing.publish import sweep

    not_before: dict[str, float] = {}
    while True:
        with suppress(OSError):
            if any(entry.is_dir() for entry in (root / STAGING).iterdir()):
                sweep(root)  # what trainings left that were stopped
        reasons = lacking(root, names, seal)
        due = [name for name in reasons if time.monotonic() >= not_before.get(name, 0)]
        for name in due:
            if reasons[name]:
                say(f"trainer: {name}: {reasons[name]}")
        if due:
            if not _train(due, signals):
                return
            not_before |= dict.fromkeys(lacking(root, due, seal), time.monotonic() + retry)
        if ready_file and not ready_file.exists():
            ready_file.touch()
            say("trainer: ready")
        if signals.told_to_stop(every):
            return


def _train(names: Sequence[str], signals: Attention) -> bool:
    """Whether training came to its end. Killing it does no harm: no reader sees what is not whole."""
    command = [sys.executable, "-m", "trainer", "train", *names]
    child = Contained(command, env={**environment(RECIPES_OWN), **Settings.variables()})
    try:
        while child.poll() is None:
            if signals.told_to_stop(0.1):
                return False
        return True
    finally:
        child.end()

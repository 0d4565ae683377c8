"""Trains the models that the model repository lacks, in a process of its own.

That process may be killed at any time, and gives back the memory that training took.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from contract.errors import ModelgateError
from contract.repository import CURRENT, SIGNATURE_FILE, Repository
from contract.settings import Settings
from runtime.output import PrintedLines
from trainer.processes import RECIPE_PREFIX, ContainedProcess, environment
from trainer.publishing.signing import SigningPolicy
from trainer.stop_signal import StopSignal

log = logging.getLogger("trainer")

LOCK = "missing.models"
"""The lock of the trainer that trains missing models. Model names have no dot, so it is not the lock of a model."""


def missing_models(root: Path, names: Sequence[str], signing: SigningPolicy) -> dict[str, str | None]:
    """Return those of `names` whose current version cannot be served here, each with the reason; None: it has none.

    A model whose newest version waits for its signature is not missing, nor is one that was removed.
    """
    # Slow to import, and --help does not need it.
    from scoring.artifacts import check_versions

    repository = Repository(root)
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
            manifest = repository.manifest(name, current)
            signing.trust.check(manifest, repository.version_dir(name, current))
            check_versions(manifest)
        except ModelgateError as error:
            reasons[name] = str(error)
    return reasons


def train_missing(
    root: Path,
    names: Sequence[str],
    signing: SigningPolicy,
    ready_file: Path | None,
    stop: StopSignal,
    every: float = 5,
    retry: float = 60,
) -> None:
    """Train missing models until a stop is requested.

    Checks every `every` seconds. A model whose training failed is tried again after `retry` seconds. `ready_file` is
    created once every missing model has been tried. Of several trainers with one repository, one at a time trains
    missing models, and the others wait. Raises OSError if `root` cannot be written.
    """
    from trainer.publishing.disk import STAGING, locked_if_free
    from trainer.publishing.publish import sweep

    retry_at: dict[str, float] = {}
    for name in filter(Repository(root).was_removed, names):
        log.info("%s of TRAIN_ON_START is not trained, because it was removed; train or restore it", name)

    def due() -> dict[str, str | None]:
        reasons = missing_models(root, names, signing)
        return {name: reason for name, reason in reasons.items() if time.monotonic() >= retry_at.get(name, 0)}

    waits = False
    while True:
        with suppress(OSError):
            if any(entry.is_dir() for entry in (root / STAGING).iterdir()):
                sweep(root)  # removes the folders of trainings that were killed
        waited, waits = waits, False
        if due():
            with locked_if_free(root, LOCK) as lock:
                waits = lock is None
                # Another trainer may have trained some of them since the check.
                if lock and (reasons := due()):
                    for name, reason in reasons.items():
                        if reason:
                            log.warning("%s: %s", name, reason)
                    if not _train([*reasons], lock.fileno(), stop):
                        return
                    retry_at |= dict.fromkeys(missing_models(root, [*reasons], signing), time.monotonic() + retry)
        if waits and not waited:
            log.info("another trainer trains the missing models; this one waits")
        if ready_file and not waits and not ready_file.exists():
            ready_file.touch()
            log.info("ready")
        if stop.wait(every):
            return


def _waits_for_signature(repository: Repository, name: str) -> bool:
    versions = repository.versions(name)
    return bool(versions) and not (repository.version_dir(name, versions[-1]) / SIGNATURE_FILE).exists()


def _train(names: Sequence[str], lock: int, stop: StopSignal) -> bool:
    """Return whether the training process ended by itself. Killing it is harmless: readers see whole versions only.

    The process shares the lock of the descriptor `lock`: if this process is killed, other trainers wait until the
    training is gone, too.
    """
    command = [sys.executable, "-m", "trainer", "train", *names]
    # Without Redis, where it would leave an entry in the audit log as if somebody had typed the command.
    settings = {**Settings.variables(), "REDIS_URL": "", "LOG_FORMAT": "text"}
    printed = PrintedLines(lambda line: log.info("%s", line.removeprefix("trainer: ")))
    process = ContainedProcess(
        command,
        env={**environment(RECIPE_PREFIX), **settings, "PYTHONUNBUFFERED": "1"},
        pass_fds=(lock,),
        stdout=printed.write_end,
        stderr=printed.write_end,
    )
    try:
        while process.poll() is None:
            printed.read()
            if stop.wait(0.1):
                return False
        return True
    finally:
        process.kill()
        printed.close()

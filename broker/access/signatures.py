"""Signatures of the gateway's jobs for the trainer: an HMAC with a secret that only these two have.

Any process that can write to Redis can put a job into the trainer's queues. The trainer runs only signed jobs.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contract.errors import Code, ModelgateError, SettingsError
from contract.settings import Settings
from contract.work.jobs import timestamp

_MIN_LENGTH = 32
"""Fewest characters of a secret."""

_SKEW = 60.0
"""Most seconds between the clocks of gateway and trainer."""

_UNSIGNED = (
    "the job is refused: no gateway with this trainer's secret signed it; give gateway and trainer the same"
    " file shared/trainer.secret in STATE_DIR, or the same TRAINER_SECRET, then send it again"
)


class Signer:
    """Signs and checks with the secrets that gateway and trainer share."""

    def __init__(self, keys: Sequence[bytes], clock: Callable[[], float] = time.time) -> None:
        """The first of `keys` signs; signatures by any of them are valid. `clock` returns Unix time."""
        self._keys = keys
        self._clock = clock

    @classmethod
    def from_settings(cls, settings: Settings) -> Signer:
        """Create the file if it is needed and missing. Raises `SettingsError`."""
        if settings.trainer_secret:
            return cls(_keys(settings.trainer_secret.encode(), "TRAINER_SECRET"))
        path = settings.trainer_secret_path
        try:
            if not path.exists():
                _make(path)
            text = path.read_bytes()
        except OSError as error:
            raise SettingsError(
                f"the secret of gateway and trainer, {path}, cannot be read or created ({error.strerror}); set"
                " STATE_DIR to a folder that you may write to"
            ) from error
        return cls(_keys(text, f"{path}, which is created anew if you remove it,"))

    def sign_job(self, queue: str, job_id: str, text: bytes, until: float) -> str:
        """Return the signature of a job with RQ's `data`, `text`. `until`: the Unix time at which it expires."""
        return f"{until:.0f}.{self._hmacs(['job', queue, job_id, f'{until:.0f}', _digest(text)])[0]}"

    def check_job(self, queue: str, job_id: str, text: bytes, signature: str) -> None:
        """Raise `ModelgateError` (`not_trusted`) unless a gateway signed exactly this and the signature has not
        expired."""
        until, _, sent = signature.partition(".")
        if not _among(sent, self._hmacs(["job", queue, job_id, until, _digest(text)])):
            raise ModelgateError(Code.NOT_TRUSTED, _UNSIGNED)
        if self._clock() > float(until) + _SKEW:
            ended = timestamp(datetime.fromtimestamp(float(until), UTC))
            raise ModelgateError(
                Code.NOT_TRUSTED,
                f"the job is refused: its signature ended at {ended}; send it again, and if that does not help, set the"
                " clocks of gateway and trainer",
            )

    def sign_schedule(self, model: str, cron: str, request: Any, owner: str = "") -> str:
        """Return the signature of a schedule with a JSON `request`, which belongs to `owner` ('': to nobody). It does
        not expire."""
        return self._hmacs(_schedule(model, cron, request, owner))[0]

    def check_schedule(self, model: str, cron: str, request: Any, signature: str, owner: str = "") -> None:
        """Raise `ModelgateError` (`not_trusted`) unless a gateway, or a trainer that had checked it, signed exactly
        this."""
        if not _among(signature, self._hmacs(_schedule(model, cron, request, owner))):
            raise ModelgateError(Code.NOT_TRUSTED, _UNSIGNED)

    def _hmacs(self, fields: list[Any]) -> list[str]:
        """Return the signature by each key, in hex. The parts are a JSON list, because no two lists have the same
        text."""
        text = json.dumps(fields).encode()
        return [hmac.digest(key, text, "sha256").hex() for key in self._keys]


def _keys(text: bytes, source: str) -> list[bytes]:
    keys = text.split()
    if not keys or min(map(len, keys)) < _MIN_LENGTH:
        raise SettingsError(
            f"{source} has a secret of less than {_MIN_LENGTH} characters, or none; `openssl rand -hex 32` makes one"
        )
    return keys


def _schedule(model: str, cron: str, request: Any, owner: str) -> list[Any]:
    return ["schedule", model, cron, request, owner]


def _among(signature: str, expected: Sequence[str]) -> bool:
    """Return whether `signature` is in `expected`, compared in constant time."""
    return any(hmac.compare_digest(signature.encode(), candidate.encode()) for candidate in expected)


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _make(path: Path) -> None:
    """Write a new secret that only this user can read. If several processes do so, the first wins."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(draft, "x", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(f"{secrets.token_hex(32)}\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)

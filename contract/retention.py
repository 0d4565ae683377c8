"""How long everything is kept that nobody deletes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

MINUTE, HOUR, DAY = 60, 3_600, 86_400


@dataclass(frozen=True)
class Retention:
    """Ages in seconds, those that end with `_days` in days. The scripts have the fixed ones as `KEEP_…`.

    `results` of predictions and files, `trainings` with their logs and `commands` to the trainer count from the end of
    the job, `delivered_results` from the answer that had one, and `keyed_commands` are those with an `Idempotency-Key`.
    An idempotency record and the webhooks of a job are kept as long as the job.
    """

    results: int
    delivered_results: int
    keyed_commands: int
    trainings: int
    removed_model_days: int
    audit_days: int

    commands: ClassVar[int] = MINUTE
    unended_jobs: ClassVar[int] = 30 * DAY
    """How long a signed job may wait for a trainer, and a request is remembered whose job never ends."""
    done_jobs: ClassVar[int] = 33 * DAY
    """How long a trainer knows which jobs have run: for longer than their signatures are valid."""
    unended_logs: ClassVar[int] = 7 * DAY
    counters: ClassVar[int] = 7 * DAY
    failures: ClassVar[int] = 7 * DAY
    traffic: ClassVar[int] = 30 * DAY
    key_use: ClassVar[int] = 30 * DAY
    upload_counts: ClassVar[int] = 2 * DAY
    unused_uploads: ClassVar[int] = HOUR
    shadowed: ClassVar[int] = HOUR
    """How long rows wait for the candidate of a shadow experiment that gets no further ones."""
    sessions: ClassVar[int] = 12 * HOUR

    @classmethod
    def of(cls, result_ttl: int, keep_days: int) -> Retention:
        return cls(
            results=result_ttl,
            delivered_results=max(1, result_ttl // 60),
            keyed_commands=max(cls.commands, result_ttl),
            trainings=keep_days * DAY,
            removed_model_days=keep_days,
            audit_days=3 * keep_days,
        )

    @classmethod
    def fixed(cls) -> dict[str, int]:
        """The ages that no setting changes, by name."""
        return {name: age for name, age in vars(cls).items() if isinstance(age, int) and not name.startswith("_")}

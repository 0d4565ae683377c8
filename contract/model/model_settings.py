"""The settings of a model: what people decide about all of its versions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from contract.model.about import ABOUT, About
from contract.model.experiments import Experiment
from contract.model.promotions import PromotionRequest

WARN_UNUSUAL, LOGGING, EXPERIMENTS = "warn_unusual", "logging", "experiments"
PROTECTED, PROMOTIONS, ROLLED_BACK = "protected", "promotions", "rolled_back"
"""The keys of the settings, as JSON."""

KEEP_DAYS, MOST_DAYS = 90, 3_650
MOST_LEFT_OUT, LONGEST_COLUMN = 1_000, 200
"""Days that the prediction log keeps a row, unless the model says otherwise."""

_HASHES = 2**64
T = TypeVar("T")


@dataclass(frozen=True)
class Logging:
    """What the prediction log keeps of a model: the `share` of its requests, without the inputs `leave_out`, for
    `keep_days`."""

    share: float = 0.0
    leave_out: tuple[str, ...] = ()
    keep_days: int = KEEP_DAYS

    def keeps(self, job_id: str) -> bool:
        """Return whether the log keeps this job: the first 64 bits of the SHA-256 of its id, as a fraction, are below
        the share. So all rows of a request are kept, or none."""
        if not 0 < self.share < 1:
            return self.share >= 1
        return int.from_bytes(hashlib.sha256(job_id.encode()).digest()[:8]) < self.share * _HASHES

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "leave_out": list(self.leave_out)}

    @classmethod
    def from_json(cls, data: object) -> Logging:
        """Read what `to_json` has written. Anything else keeps nothing."""
        if not isinstance(data, Mapping):
            return cls()
        share, names, days = data.get("share"), data.get("leave_out", []), data.get("keep_days", KEEP_DAYS)
        if isinstance(share, bool) or not isinstance(share, int | float) or type(days) is not int:
            return cls()
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            return cls()
        return cls(float(share), tuple(names), days)


@dataclass(frozen=True)
class ModelSettings:
    """`warn_unusual`: answers warn of values far from what training saw. `experiments`: the newest first; only the
    first one may run. `about`: what people say of the model; `Repository.about_history` has how they edited it.
    `protected`: `current` moves once a second person approves it. `promotions`: the requests for that, the newest
    first; only the first one may wait. `rolled_back`: the versions that were rolled back from, each with the last time
    (RFC 3339 in UTC)."""

    warn_unusual: bool = True
    logging: Logging = Logging()
    experiments: tuple[Experiment, ...] = ()
    about: About = About()
    protected: bool = False
    promotions: tuple[PromotionRequest, ...] = ()
    rolled_back: Mapping[int, str] = field(default_factory=dict)

    @property
    def experiment(self) -> Experiment | None:
        """The one that runs."""
        return self.experiments[0] if self.experiments and self.experiments[0].ending is None else None

    @property
    def waiting(self) -> PromotionRequest | None:
        """The request that a second person has to decide."""
        return self.promotions[0] if self.promotions and self.promotions[0].ending is None else None

    def to_json(self) -> dict[str, Any]:
        """Return what people decide, without the experiments, the promotions and what they say of the model."""
        return {WARN_UNUSUAL: self.warn_unusual, LOGGING: self.logging.to_json(), PROTECTED: self.protected}

    @classmethod
    def from_json(cls, data: object) -> ModelSettings:
        """Read the settings of a model; any key may be missing or wrong."""
        known = data if isinstance(data, Mapping) else {}
        return cls(
            known.get(WARN_UNUSUAL) is not False,
            Logging.from_json(known.get(LOGGING)),
            _readable(Experiment.from_json, known.get(EXPERIMENTS)),
            About.from_json(known.get(ABOUT)),
            known.get(PROTECTED) is True,
            _readable(PromotionRequest.from_json, known.get(PROMOTIONS)),
            _times(known.get(ROLLED_BACK)),
        )


def _times(data: object) -> dict[int, str]:
    items = data.items() if isinstance(data, Mapping) else ()
    return {int(version): at for version, at in items if version.isdecimal() and isinstance(at, str)}


def _readable(read: Callable[[Mapping[str, Any]], T], items: object) -> tuple[T, ...]:
    """Return the items that can be read."""
    readable = []
    for item in items if isinstance(items, list) else ():
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            readable.append(read(item))
    return tuple(readable)

"""Experiments: a candidate version beside the current one, until what is seen of both decides."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from contract.model.manifest import ModelManifest
from contract.model.signature import OutputKind, Signature
from contract.release import known

SHADOW_ALIAS = "~shadow"
"""What the prediction log has as the alias of rows that a candidate scored in a shadow. It is no valid alias."""

LEVEL, MARGIN, DAYS = 0.01, 0.01, 14.0
"""The defaults of an experiment; the margin of an absolute error is this part of its bound."""

OF_PROBABILITIES, OF_CLASSES, OF_NUMBERS = ("log_loss", "brier"), ("accuracy",), ("mean_absolute_error",)
"""The metrics whose loss is compared, by what they are of."""

LEAST_PROBABILITY = 0.001
"""The lower bound of probabilities in a log loss, which has a bound by it."""

_HASHES = 2**64


class ExperimentKind(StrEnum):
    """SHADOW: the candidate scores rows that the current version has answered, and nobody sees its answers. CANARY: it
    answers a share of the callers."""

    SHADOW = "shadow"
    CANARY = "canary"


class Requirement(StrEnum):
    """What has to be shown of a candidate before it is promoted: that its mean loss is not worse by more than the
    margin, or that it is better."""

    NOT_WORSE = "not_worse"
    BETTER = "better"


class Decision(StrEnum):
    """What the evidence says is to be done. STEP: the candidate of a canary answers its next share."""

    PROMOTE = "promote"
    ROLL_BACK = "roll_back"
    STEP = "step"


class Ending(StrEnum):
    """How an experiment has ended. PASSED: as PROMOTED, but no alias was to move. UNDECIDED: its time was over.
    OVERTAKEN: its candidate was deleted, or another version became current."""

    PROMOTED = "promoted"
    PASSED = "passed"
    ROLLED_BACK = "rolled_back"
    UNDECIDED = "undecided"
    STOPPED = "stopped"
    OVERTAKEN = "overtaken"


def unlogged(model: str) -> str:
    """Return why no shadow of a model can begin of which nothing is logged, and what to do."""
    how = f"modelgate logging {model} --share 1, or PUT /v1/models/{model}/logging"
    return f"a shadow scores logged requests, and nothing is logged; turn that on: {how}"


def loss_metrics(*signatures: Signature) -> tuple[str, ...]:
    """Return the metrics by whose loss versions with these signatures can be compared, the default first. Empty if the
    answers are of several kinds, if a version has several outputs, and if it has none."""
    fitting = [_loss_metrics(signature) for signature in signatures]
    return tuple(metric for metric in fitting[0] if all(metric in others for others in fitting))


def _loss_metrics(signature: Signature) -> tuple[str, ...]:
    if len(signature.outputs) != 1:
        return ()
    if signature.output.kind is OutputKind.NUMBER:
        return OF_NUMBERS
    return (OF_PROBABILITIES if signature.output.probabilities else ()) + OF_CLASSES


def largest_loss(metric: str, *manifests: ModelManifest) -> float | None:
    """Return the bound of a loss, and so of each difference of two. The absolute error has that of the range of the
    answers in the first profile of these versions; None: no profile has one, so nothing can be shown by it."""
    if metric == "log_loss":
        return -math.log(LEAST_PROBABILITY)
    if metric not in OF_NUMBERS:
        return 1.0
    edges = [column.edges for one in manifests if one.profile for column in one.profile.outputs if column.edges]
    return next((of_one[-1] - of_one[0] for of_one in edges if of_one[-1] > of_one[0]), None)


@dataclass(frozen=True)
class ExperimentLimits:
    """What ends an experiment, whatever the losses: `failures` more than those of the current version, as a share of
    the rows; a typical batch that takes `slowdown` times as long; a mean `distance` of the answers, from 0 to 1 (None:
    any)."""

    failures: float = 0.01
    slowdown: float = 3.0
    distance: float | None = None


@dataclass(frozen=True)
class ExperimentPlan:
    """What an experiment is to show, whichever its candidate.

    `metric`: whose loss is compared (None: the first one that fits the output). `share`: of the logged requests
    (SHADOW) or of the callers (CANARY), from 0 to 1; a canary begins with the first of `steps`, which rise to `share`,
    if there are any. `margin`: in units of the loss (None: the default, which is known once it begins). `level`: the
    chance that a candidate is promoted though it is worse by more than the margin, or rolled back though it is not,
    however often one looks. `agreement`: promotes a shadow without outcomes, once it is shown that at least this share
    of the answers is the same (None: never). It is over after `days`.
    """

    kind: ExperimentKind
    metric: str | None = None
    share: float = 1.0
    steps: tuple[float, ...] = ()
    margin: float | None = None
    level: float = LEVEL
    require: Requirement = Requirement.NOT_WORSE
    promote: bool = True
    agreement: float | None = None
    days: float = DAYS
    limits: ExperimentLimits = ExperimentLimits()

    @property
    def first_share(self) -> float:
        return self.steps[0] if self.steps else self.share

    def next_share(self, share: float) -> float | None:
        """Return the share after this one; None: there is none."""
        return next((step for step in (*self.steps, self.share) if step > share), None)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "steps": list(self.steps)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ExperimentPlan:
        """Raises `ValueError`, `TypeError` and `KeyError` for what `to_json` has not written."""
        read = known(cls, data)
        limits = ExperimentLimits(**known(ExperimentLimits, data.get("limits") or {}))
        return cls(
            **{
                **read,
                "kind": ExperimentKind(data["kind"]),
                "require": Requirement(data.get("require", Requirement.NOT_WORSE)),
                "steps": tuple(data.get("steps", ())),
                "limits": limits,
            }
        )


@dataclass(frozen=True)
class Experiment:
    """An experiment of a model: the version `candidate` beside `baseline`, which was current when it was `started_at`.
    Times are RFC 3339 in UTC.

    `started_by`: the name of the key, or '', and `owner` its owner, where the model is protected. `share`: that of now,
    since `share_since`. It is over at `until`. `ending`: how it has ended, at `ended_at`, for `reason` (a sentence);
    None: it runs. `figures`: what was known at the end, as the observer says it.
    """

    id: str
    baseline: int
    candidate: int
    plan: ExperimentPlan
    started_at: str
    until: str
    share: float
    share_since: str
    started_by: str = ""
    ending: Ending | None = None
    ended_at: str | None = None
    reason: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    owner: str = ""

    @property
    def margin(self) -> float:
        """By how much the mean loss may be worse, in its units."""
        return MARGIN if self.plan.margin is None else self.plan.margin

    def takes(self, key: str) -> bool:
        """Return whether the candidate gets what `key` names: the first 64 bits of the SHA-256 of the experiment and
        the key, as a fraction, are below the share. So a larger share takes the same keys, and more."""
        digest = hashlib.sha256(f"{self.id}:{key}".encode(errors="surrogatepass")).digest()
        return int.from_bytes(digest[:8]) < self.share * _HASHES

    def to_json(self) -> dict[str, Any]:
        """Return all fields; `owner` only if it is set."""
        fields = {**asdict(self), "plan": self.plan.to_json()}
        return fields if self.owner else {name: value for name, value in fields.items() if name != "owner"}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Experiment:
        """Raises `ValueError`, `TypeError` and `KeyError` for what `to_json` has not written."""
        ending = data.get("ending")
        plan = ExperimentPlan.from_json(data["plan"])
        return cls(**{**known(cls, data), "plan": plan, "ending": None if ending is None else Ending(ending)})


@dataclass(frozen=True)
class ExperimentFindings:
    """What the observer says of the running `experiment` (its id), since `changed_at`.

    `decision`: what is to be done; None: nothing yet. `reason`: a sentence that says why. `missing`: in a few words,
    what there has to be before it can be decided, or ''. `figures`: see `docs/reference/experiments.md`.
    """

    experiment: str
    decision: Decision | None
    reason: str
    missing: str
    changed_at: str
    figures: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ExperimentFindings:
        """Raises `ValueError`, `TypeError` and `KeyError` for what `to_json` has not written."""
        decision = data["decision"]
        return cls(**{**known(cls, data), "decision": None if decision is None else Decision(decision)})

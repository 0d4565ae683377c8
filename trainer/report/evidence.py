"""The evidence for a report: all that is known after fitting and before publishing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from contract.model.manifest import InputFormat, ManifestDraft, ModelManifest
from contract.model.signature import Output
from contract.row import Row, Value
from trainer.recipe import Candidate


class ComparisonOutcome(StrEnum):
    """The result of a paired test of the new version against the current one, on rows that are new to both."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "as good"
    """Chance explains the difference."""


class Level(StrEnum):
    """How a version fares, the worst first: it is of no use as it is, needs a look, or neither."""

    BAD = "bad"
    WARN = "warn"
    GOOD = "good"


@dataclass(frozen=True)
class VersionAnswers:
    """A version's answers: `predicted`, and a `table` of probabilities (rows × the labels of `output`) or None."""

    predicted: Any
    table: Any
    output: Output


@dataclass(frozen=True)
class VersionComparison:
    """A comparison of the new version with `version`, which it would replace.

    `rows` is the number of held-out rows that are new to both; `metrics` are the new version's on those rows and
    `previous` the other one's, both empty without such rows or if the other version cannot predict them. `loss` is what
    was compared row by row ("log loss", "squared error", "share of errors"), `loss_now` and `loss_before` its means;
    `p_worse` and `p_better` are the one-sided p-values of the paired test. Without a result, `outcome` is None and
    `missing` is the reason: "there are 12 held-out rows that are new to both, and it takes 50". `one_answer`: without
    a result, it was still measured that the new version always gives the same answer, and that the other one is better.
    `sample`: the rows are those of an import, and new to `version`; the new version may have learnt from them.
    `changes` are what callers of `version` have to change (`contract.model.signature_changes`). `actual` are the
    targets of the rows, `now` and `before` the answers of both versions to them.
    """

    version: int
    rows: int = 0
    metrics: Mapping[str, float] | None = None
    previous: Mapping[str, float] | None = None
    loss: str = ""
    loss_now: float | None = None
    loss_before: float | None = None
    p_worse: float | None = None
    p_better: float | None = None
    outcome: ComparisonOutcome | None = None
    missing: str | None = None
    one_answer: bool = False
    sample: bool = False
    changes: Sequence[str] = ()
    actual: Any = None
    now: VersionAnswers | None = None
    before: VersionAnswers | None = None


@dataclass(frozen=True)
class Leak:
    """One or two `columns` that by themselves predict nearly all of the target. `sentence` says how well, and what to
    do."""

    columns: Sequence[str]
    sentence: str


@dataclass(frozen=True)
class OperatingPoint:
    """The results of predicting a class from the probability `threshold` on, for the test rows: `flagged` rows are
    predicted as the class. `precision` is 1 if there are none."""

    threshold: float
    precision: float
    recall: float
    flagged: int


@dataclass(frozen=True)
class Thresholds:
    """Thresholds of a model of two classes with probabilities. `label` is the rarer class.

    `best` has the highest F1 on the cross-validated predictions of the training rows, and is measured on the test rows;
    None without cross-validation. `argmax` is the model's own prediction.
    """

    label: Value
    argmax: OperatingPoint
    best: OperatingPoint | None = None


@dataclass(frozen=True)
class Evidence:
    """The evidence for a report.

    `rows` (in signature order) and `targets` are all training and test rows. `X_test` (a matrix as `to_matrix`
    makes it) and `y_test` are the test rows, on which `draft.metrics` were measured: held out, unless `held_out` is
    False. `intervals` have the 95 % limits of these metrics, as far as they are known. `tested_on` are the positions of
    the test rows in `rows`; `ids` has one a row, or is None without an id column. With `sample` the rows came with an
    imported model, which may have been trained on them. `previous` is the version that would be replaced. `chosen` is
    the one of the `candidates` that was fitted. `remarks` are sentences on findings in the data, `notes` are the
    caller's, `target` is the target's name.

    `headline` is the most telling metric of `draft.metrics`. `verdict` says what matters most of the version, then
    compares it with the current one, or with the baseline, and `level` is that of its first sentence; `refused` is the
    gate's reason not to promote the version, or None. `comparison` is None if there is no version to compare with.
    `leaks` are columns that may leak the target. `thresholds` are for models of classes only.
    """

    draft: ManifestDraft
    estimator: Any
    rows: Sequence[Row]
    targets: Sequence[Value]
    X_test: Any
    y_test: Any
    held_out: bool
    tested_on: Sequence[int]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    ids: Sequence[Value] | None = None
    sample: bool = False
    candidates: Sequence[Candidate] = ()
    chosen: Candidate | None = None
    remarks: Sequence[str] = ()
    previous: ModelManifest | None = None
    target: str = "target"
    notes: str = ""
    headline: str = ""
    verdict: str = ""
    level: Level = Level.GOOD
    refused: str | None = None
    comparison: VersionComparison | None = None
    leaks: Sequence[Leak] = ()
    thresholds: Thresholds | None = None

    def values(self, row: Sequence[Any]) -> Sequence[Any]:
        """Return a row's values in signature order; a record has None for names that it leaves out."""
        if self.draft.artifact.input_format is not InputFormat.RECORDS:
            return row
        values = [row[0].get(name) for name in self.draft.signature.names]
        return [", ".join(map(str, value)) if isinstance(value, list | tuple) else value for value in values]

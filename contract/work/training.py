"""What the gateway asks of the trainer, and what comes back: trainings, and changes of the model repository."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from contract.model.experiments import ExperimentPlan
from contract.model.signature import Format, Kind
from contract.release import known
from contract.row import Row

KINDS: Mapping[str, tuple[Kind, Format | None]] = {
    **{str(kind): (kind, None) for kind in Kind},
    "datetime_day_first": (Kind.DATETIME, Format.DAY_FIRST),
    "datetime_month_first": (Kind.DATETIME, Format.MONTH_FIRST),
}
"""The kinds that a training may set for a column."""


def name_of_kind(kind: Kind, written: Format | None) -> str:
    """Return the name in `KINDS` for the kind and the format of a field."""
    return next((name for name, entry in KINDS.items() if entry == (kind, written)), str(kind))


METRICS = (
    *("accuracy", "balanced_accuracy", "average_precision", "recall_at_half_precision", "roc_auc", "log_loss"),
    *("r2", "mean_absolute_error", "root_mean_squared_error"),
)
"""Metrics of held-out rows that a gate may name, besides those that begin with one of `DERIVED_METRICS`."""

DERIVED_METRICS = ("baseline_", "best_threshold", "cv_", "training_")

SIGNATURE = "signature"
ACCEPTABLE = (SIGNATURE,)
"""What a request may `accept`. SIGNATURE: callers of the version that is replaced have to change something."""

GENERIC_RECIPE = "tabular"
"""The recipe for any CSV file; each other recipe has the name of its model."""


@dataclass(frozen=True)
class Gate:
    """The conditions for moving the alias to a new version.

    `metric` is one of the manifest's; without it the first one. Its value on held-out rows must be at least `floor`,
    and not worse by more than `margin` than that of the version it would replace, on rows that neither has learnt from.

    None: the default. Where there are enough such rows, a version without `margin` must not do worse than chance
    explains, and one without `floor` must be better than always giving the same answer. With `require_comparison`, a
    version that cannot be compared so does not pass. One that passes becomes the candidate of an `experiment`, if there
    is a plan for one, and its end moves the alias.
    """

    metric: str | None = None
    floor: float | None = None
    margin: float | None = None
    require_comparison: bool = False
    experiment: ExperimentPlan | None = None

    def to_json(self) -> dict[str, Any]:
        """Return all fields; `require_comparison` and `experiment` only if they are set."""
        optional = ("require_comparison", "experiment")
        return {name: value for name, value in dataclasses.asdict(self).items() if value or name not in optional}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Gate:
        plan = data.get("experiment")
        return cls(**{**data, "experiment": ExperimentPlan.from_json(plan) if plan else None})


MOST_OUTCOME_ROWS = 100_000
"""Most rows of the prediction log from which a training learns."""


@dataclass(frozen=True)
class OutcomeRows:
    """The newest rows of the prediction log whose outcome is known, at most `most`, of `owner` (None: of all)."""

    most: int = MOST_OUTCOME_ROWS
    owner: str | None = None


@dataclass(frozen=True)
class TrainingRequest:
    """A training of `recipe` with `parameters`.

    Its rows come from the CSV file `upload` (a name in SPOOL_DIR; its sender calls it `upload_name`), or `path`
    (relative to DATA_DIR), or the prediction log (`outcomes`), or from the recipe itself. The new version gets `alias`
    if it passes the gate, which objects to nothing that `accept` names (`ACCEPTABLE`). `kinds` sets the kinds of some
    columns (`KINDS`); the others are inferred. `owner`: who asks for the promotion of a protected model, or ''.
    """

    model: str
    recipe: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    target: str | None = None
    features: Sequence[str] | None = None
    id_field: str | None = None
    alias: str = "current"
    gate: Gate = Gate()
    notes: str = ""
    upload: str | None = None
    path: str | None = None
    upload_name: str | None = None
    kinds: Mapping[str, str] = field(default_factory=dict)
    accept: Sequence[str] = ()
    outcomes: OutcomeRows | None = None
    owner: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return all fields; `accept`, `outcomes`, `owner` and those of the gate only if they are set."""
        fields, optional = {**dataclasses.asdict(self), "gate": self.gate.to_json()}, ("accept", "outcomes", "owner")
        return {name: value for name, value in fields.items() if value or name not in optional}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TrainingRequest:
        outcomes = {"outcomes": OutcomeRows(**data["outcomes"])} if data.get("outcomes") else {}
        return cls(**{**data, "gate": Gate.from_json(data["gate"]), **outcomes})


@dataclass(frozen=True)
class ComparedFigures:
    """A `metric` of a new version (`now`) and of `version`, which it would replace (`before`), on `rows` held-out rows
    that neither has learnt from. `decisive`: the gate refused the new version because of this."""

    version: int
    rows: int
    metric: str
    now: float
    before: float
    decisive: bool


ANYWAY = "; to promote it anyway: "
"""What separates the reason of a refusal from the request that promotes the version all the same."""


@dataclass(frozen=True)
class TrainingResult:
    """The `output` of a training job. `promoted`: whether the alias points at the version now; if not, `reason`.
    `experiment`: the id of the one in which the version is tried instead.

    `headline` is the most telling metric, `verdict` says what matters most of the version, then compares it with the
    current one, and `level` is `good`, `warn` or `bad` by its first sentence ('': unknown). `remarks` are findings in
    the data. `comparison` is None without a version to compare with. `candidates`: see `Progress`; None if none was
    compared.
    """

    model: str
    version: int
    metrics: Mapping[str, float]
    promoted: bool
    reason: str | None = None
    headline: str | None = None
    verdict: str = ""
    remarks: Sequence[str] = ()
    comparison: ComparedFigures | None = None
    candidates: Mapping[str, Any] | None = None
    experiment: str | None = None
    level: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return all fields; `experiment` and `level` only if they are set."""
        data = dataclasses.asdict(self)
        return {name: value for name, value in data.items() if value or name not in ("experiment", "level")}


class ColumnUse(StrEnum):
    """What a training does with a column."""

    TARGET = "target"
    FEATURE = "feature"
    ID = "id"
    IGNORED = "ignored"


class Task(StrEnum):
    """What a target makes of a training."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"


@dataclass(frozen=True)
class ColumnPreview:
    """A column as a training would understand it.

    `kind` is one of `KINDS`, None if it has none. `categories` are its words if there are few. `samples` are the most
    frequent of its `different` values; `nulls` counts rows. `remarks` say what was decided, and why. `bounds` are the
    least and the greatest of its numbers. `histogram` counts the rows in equal intervals between them, or without
    bounds, those of each sample; None: a trainer of an older release counts none.
    """

    name: str
    use: ColumnUse
    kind: str | None
    nullable: bool
    categories: Sequence[str] | None
    samples: Sequence[str]
    different: int
    nulls: int
    remarks: Sequence[str] = ()
    bounds: Sequence[float] | None = None
    histogram: Sequence[int] | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ColumnPreview:
        return cls(**{**known(cls, data), "use": ColumnUse(data["use"])})


@dataclass(frozen=True)
class TrainingPreview:
    """How a training would understand its file, from the first `rows`; `complete`: these are all.

    `target` is the requested one, or a suggestion. `problems` are why the training would fail.
    """

    source: str
    rows: int
    complete: bool
    columns: Sequence[ColumnPreview]
    target: str
    task: Task | None
    problems: Sequence[str] = ()
    remarks: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TrainingPreview:
        columns = [ColumnPreview.from_json(column) for column in data["columns"]]
        task = Task(data["task"]) if data["task"] else None
        return cls(**{**known(cls, data), "columns": columns, "task": task})


DIFFERENCES = "differences"
"""What a migration accepts: rows that get other answers than before."""


class RepositoryAction(StrEnum):
    """What a repository command does."""

    MOVE_ALIAS = "move_alias"
    DELETE_ALIAS = "delete_alias"
    ROLL_BACK = "roll_back"
    DELETE_VERSION = "delete_version"
    REMOVE_MODEL = "remove_model"
    RESTORE_MODEL = "restore_model"
    CHANGE_SETTINGS = "change_settings"
    IMPORT = "import"
    EDIT_SIGNATURE = "edit_signature"
    MIGRATE = "migrate"
    PREVIEW_TRAINING = "preview_training"
    CHECK_TRAINING = "check_training"
    START_EXPERIMENT = "start_experiment"
    STOP_EXPERIMENT = "stop_experiment"
    ASK_PROMOTION = "ask_promotion"
    APPROVE_PROMOTION = "approve_promotion"
    END_PROMOTION = "end_promotion"


@dataclass(frozen=True)
class RepositoryCommand:
    """A quick job of the trainer, whose caller waits for it: a change of the model repository, or a preview.

    IMPORT publishes the file `upload`, which its sender calls `upload_name`, as a new version. `upload`, `sample` (of
    its rows), `code` (of its classes) and `signature` are names in SPOOL_DIR. `force` moves an alias even to a version
    that no worker can load. EDIT_SIGNATURE publishes `version` again, with `edits` in its signature
    (`contract.model.signature_edits`). MIGRATE tries `version` on `rows` in newer environments, or in `environment`
    alone and publishes it there ('': today's). RESTORE_MODEL restores what was removed last, or what was removed with
    `version`. CHANGE_SETTINGS makes `edits` settings of the model; of `about` (`contract.model.about`) it changes the
    members that are there, `by` the key of this name. `versions`: those of Python and the libraries of the sender, if
    it says so. `nulls`: what they were (`contract.model.signature.Null`) in columns of the sample, by their names.
    `target`: the column of the sample with what the model predicts, if that is known ('': it has none). `columns`:
    those that the model takes, in order, each with `name`, `kind` and `nullable`. `before`: the version that the alias
    must still name, and `version` of ROLL_BACK the one that must be the previous one, if they are given. IMPORT
    publishes a version that lives in `environment`, if that is given, keeps `notes`, and gives it `alias` if it passes
    the gate, which objects to nothing in `accept`, and unless `no_promote`. PREVIEW_TRAINING changes nothing:
    `training` is the request as JSON, and `upload` its file. Nor does CHECK_TRAINING, which fails if the training that
    a schedule asks for could not begin now. START_EXPERIMENT tries `version` as `experiment` says: the `id`, the
    `plan`, who asks for it (`by`), and perhaps when it is over (`until`). STOP_EXPERIMENT ends the one with the `id`.
    `person` (`contract.model.promotions`) asks for what a protected model does not do at once. ASK_PROMOTION asks to
    promote `version`, or to unprotect the model without one, with the `note` of `promotion`. APPROVE_PROMOTION approves
    the request with its `id`, and END_PROMOTION ends it with its `ending`."""

    action: RepositoryAction
    model: str
    alias: str | None = None
    version: int | None = None
    upload: str | None = None
    sample: str | None = None
    signature: str | None = None
    force: bool = False
    upload_name: str | None = None
    code: str | None = None
    edits: Mapping[str, Any] | None = None
    versions: Mapping[str, str] | None = None
    before: int | None = None
    nulls: Mapping[str, Sequence[str]] | None = None
    training: Mapping[str, Any] | None = None
    accept: Sequence[str] | None = None
    no_promote: bool = False
    columns: Sequence[Mapping[str, Any]] | None = None
    environment: str | None = None
    rows: Sequence[Row] | None = None
    experiment: Mapping[str, Any] | None = None
    by: str | None = None
    person: Mapping[str, str] | None = None
    promotion: Mapping[str, str] | None = None
    notes: str | None = None
    target: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the fields that are set: a trainer refuses a field that it does not know."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value not in (None, False)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RepositoryCommand:
        return cls(**{**data, "action": RepositoryAction(data["action"])})


@dataclass(frozen=True)
class Progress:
    """The progress of a training. `fraction` is between 0 and 1, `best` the best score by `metric` so far, and
    `seconds_left` an estimate.

    `candidates` are those compared so far, best first: `{"metric", "items", "left_out"}`, each item with `name`, the
    `mean` and `spread` of the metric over the folds, `seconds`, and whether it is `chosen`. None before the first.
    """

    phase: str
    fraction: float
    done: int | None = None
    total: int | None = None
    unit: str | None = None
    best: float | None = None
    seconds_left: float | None = None
    metric: str | None = None
    candidates: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

"""The signature: what the rows of a model version hold, and what each of its methods answers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from contract.row import Value

ZONE = re.compile(r"([A-Z][\w+-]*(/[A-Z][\w+-]*)*|[+-]\d\d:\d\d)", re.ASCII)
"""A time zone by its name in the database of IANA, or by its offset. Other names may stand for files."""

OPTIONAL = {"optional": True}
"""The metadata of a field with a default that may be missing: manifests of 1.0 do not have it."""


class RowFormat(StrEnum):
    """What one row is.

    TABLE: a value for each of the `inputs`. TEXTS: one text, the only input. RECORDS: an object of any names, each with
    a number, a text, a boolean or a list of texts; `inputs` are the names that the model knows, if it knows them.
    """

    TABLE = "table"
    TEXTS = "texts"
    RECORDS = "records"


class Kind(StrEnum):
    """What an input holds."""

    NUMBER = "number"
    INTEGER = "integer"
    STRING = "string"
    BOOLEAN = "boolean"
    DATETIME = "datetime"


class Format(StrEnum):
    """The format of numbers or dates in text."""

    DECIMAL_COMMA = "decimal_comma"
    """1.212,5 in a CSV file."""
    THOUSANDS_COMMA = "thousands_comma"
    """1,212.5 in a CSV file."""
    DAY_FIRST = "day_first"
    """25.08.2022"""
    MONTH_FIRST = "month_first"
    """8/25/2022"""
    YEAR_FIRST = "year_first"
    """2022/8/25"""
    MONTH_NAMED = "month_named"
    """25-Aug-2022"""


class Null(StrEnum):
    """What a null is to the estimator. JSON, CSV and SQL have one null, and estimators tell three apart.

    NAN: NaN, as pandas reads a CSV file: numbers and booleans become floats, and dates have NaT. NA: pandas' NA in a
    column of a nullable dtype. NONE, NAN_OBJECT and NA_OBJECT: None, NaN or NA in a column of objects, beside numbers
    and booleans as Python has them.
    """

    NAN = "nan"
    NAN_OBJECT = "nan_object"
    NONE = "none"
    NA = "na"
    NA_OBJECT = "na_object"


class OutputKind(StrEnum):
    """What a model predicts: one of its `labels`, or a number."""

    CLASS = "class"
    NUMBER = "number"


class AnswerForm(StrEnum):
    """What a method answers for one row.

    OUTPUTS: what `predict` answers: the value of the only output, or an object of all outputs by name.
    LABELS: an object of numbers by class label; with several outputs, an object of such by the output's name.
    NUMBER: a number. NUMBERS: a list of numbers, or of lists of numbers. NAMED: an object of numbers by `names`, or by
    the names of the outputs without them. NONZERO: the same without those that are 0; without `names`, their positions
    from 0 are the names. NEIGHBORS: an object of the lists `distances` and `indices`.
    """

    OUTPUTS = "outputs"
    LABELS = "labels"
    NUMBER = "number"
    NUMBERS = "numbers"
    NAMED = "named"
    NONZERO = "nonzero"
    NEIGHBORS = "neighbors"


@dataclass(frozen=True)
class Field:
    """One input. `categories` is None where any value is allowed; `aliases` are other spellings.

    `format` is the format of numbers or dates in the training file, or None if they were as in JSON and ISO 8601.
    `guessed`: nothing shows the kind; then 0 and 1 are also taken for false and true, and the other way round.
    `naive`: the estimator gets the datetime in UTC, but without a time zone, as pandas reads most dates. `zone`: it
    gets it in this time zone, such as Europe/Berlin or +02:00; None is UTC. `nanoseconds`: that is its unit; otherwise
    it has the one in which pandas reads dates: microseconds, and nanoseconds before pandas 3.
    `null` is what a null is to the estimator, if the input is nullable. `words` are texts that mean null in a CSV file
    elsewhere, such as NA, and not in this input.
    `float32`: the estimator gets the number as a float of 32 bits, whatever other columns of its DataFrame have.
    `unit`: text may have it beside a number, such as `$`, `%` or `kg`. The number is the one shown: 12.5 % is 12.5.
    """

    name: str
    kind: Kind
    nullable: bool = False
    categories: tuple[str, ...] | None = None
    aliases: tuple[str, ...] = ()
    format: Format | None = None
    guessed: bool = False
    naive: bool = False
    null: Null = Null.NAN
    float32: bool = field(default=False, metadata=OPTIONAL)
    unit: str | None = field(default=None, metadata=OPTIONAL)
    zone: str | None = field(default=None, metadata=OPTIONAL)
    nanoseconds: bool = field(default=False, metadata=OPTIONAL)
    words: tuple[str, ...] = field(default=(), metadata=OPTIONAL)

    @property
    def holds_objects(self) -> bool:
        """Whether its nulls make its column one of objects or of a nullable dtype, whatever its kind."""
        return self.nullable and self.null is not Null.NAN


@dataclass(frozen=True)
class Decision:
    """A classifier of two classes answers `label`, one of its `labels`, if the probability of it is at least
    `threshold` (between 0 and 1), else the other one."""

    label: Value
    threshold: float


@dataclass(frozen=True)
class Output:
    """One value that `predict` answers for a row.

    `labels` are the classes in the order of the estimator's `classes_`. `scores`: its `decision_function`, one number a
    row, is answered beside it. `name` may be None for the only output. `label_names` are what answers have for the
    `labels`, in the same order; None: the labels themselves. Without a `decision`, the estimator's `predict` decides.
    """

    kind: OutputKind
    labels: tuple[Value, ...] | None = None
    probabilities: bool = False
    scores: bool = False
    name: str | None = None
    label_names: tuple[Value, ...] | None = None
    decision: Decision | None = field(default=None, metadata=OPTIONAL)

    @property
    def decidable(self) -> bool:
        """Whether the only output may have a decision."""
        return self.probabilities and len(self.labels or ()) == 2

    @property
    def shown_labels(self) -> tuple[Value, ...]:
        """The labels as answers have them; empty if they are unknown."""
        return (self.labels or ()) if self.label_names is None else self.label_names


@dataclass(frozen=True)
class Returned:
    """What a method returns in Python, as far as its answer in JSON does not show it: clients in Python restore it.

    `type`: `ndarray`, `series`, `dataframe`, the name of a class of sparse matrices, or `list` or `tuple` of arrays.
    `dtypes`: that of the array, or of each column or array. `width`: the columns of what has two dimensions.
    """

    type: str
    dtypes: tuple[str, ...] = ()
    width: int | None = None


@dataclass(frozen=True)
class Method:
    """A method that rows can be sent to. `name` is scikit-learn's; `names` are those of the numbers in its answer.
    `returned` is None if that is a type of its own."""

    name: str
    answer: AnswerForm
    names: tuple[str, ...] | None = None
    returned: Returned | None = None


PREDICT = Method("predict", AnswerForm.OUTPUTS)

OTHER_METHODS = (
    *("predict_proba", "predict_log_proba", "decision_function", "score_samples"),
    *("transform", "kneighbors", "apply"),
)
"""The methods that a model may have besides `predict`, by scikit-learn's names."""

EXPLAIN = "explain"
"""Stands for a method of every model that predicts: it answers why (`contract.work.explanations`)."""


@dataclass(frozen=True)
class Signature:
    """Inputs in the order in which the estimator takes them, and what it answers.

    `outputs` is empty for an estimator without `predict`. `methods` has `predict` first, if there is one.
    `id_field` names a column that is echoed in the answer and not used.
    """

    inputs: tuple[Field, ...]
    outputs: tuple[Output, ...]
    id_field: str | None = None
    format: RowFormat = RowFormat.TABLE
    methods: tuple[Method, ...] = (PREDICT,)

    @property
    def nameless(self) -> bool:
        """Whether the inputs have made-up names, since the estimator was fitted on an array: x0, x1, …"""
        return all(field.name == f"x{number}" for number, field in enumerate(self.inputs))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.inputs)

    @property
    def output(self) -> Output:
        """The only output, or the first of several."""
        return self.outputs[0]

    def method(self, name: str) -> Method | None:
        """Return the method of this name, or None if the version has none."""
        for method in self.methods:
            if method.name == name:
                return method
        return None

"""The manifest: the JSON beside an artifact that says what a model version takes and gives."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from contract.errors import ModelgateError, version_error
from contract.jobs import Row, Value
from contract.manifest_reader import Reader, invalid, parse

SCHEMA_VERSION = 1


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


class OutputKind(StrEnum):
    """What a model predicts: one of its `labels`, or a number."""

    CLASS = "class"
    NUMBER = "number"


class InputFormat(StrEnum):
    """What the estimator takes: what it was fitted on."""

    ARRAY = "array"
    DATAFRAME = "dataframe"


class InputDtype(StrEnum):
    """The dtype that the estimator was fitted on.

    FLOAT32 applies to all columns of the kind number. INT64 applies to an array of whole numbers without nulls; in a
    DataFrame the kind of each column decides.
    """

    FLOAT64 = "float64"
    FLOAT32 = "float32"
    INT64 = "int64"


class ArtifactFormat(StrEnum):
    """How the estimator is saved. The first two are pickles: loading one can run any code."""

    JOBLIB = "joblib"
    CLOUDPICKLE = "cloudpickle"
    SKOPS = "skops"


@dataclass(frozen=True)
class Field:
    """One input. `categories` is None where any value is allowed; `aliases` are other spellings.

    `format` is the format of numbers or dates in the training file, or None if they were as in JSON and ISO 8601.
    """

    name: str
    kind: Kind
    nullable: bool = False
    categories: tuple[str, ...] | None = None
    aliases: tuple[str, ...] = ()
    format: Format | None = None


@dataclass(frozen=True)
class Output:
    """What the model predicts. `labels` are the classes in the order of the estimator's `classes_`."""

    kind: OutputKind
    labels: tuple[Value, ...] | None = None
    probabilities: bool = False


@dataclass(frozen=True)
class Signature:
    """Inputs in the order in which the estimator takes them, and the output.

    `id_field` names a column that is echoed in the answer and not used.
    """

    inputs: tuple[Field, ...]
    output: Output
    id_field: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.inputs)


@dataclass(frozen=True)
class ArtifactDraft:
    """How an artifact is to be written, and how its estimator takes rows."""

    format: ArtifactFormat
    input_format: InputFormat
    input_dtype: InputDtype = InputDtype.FLOAT64


@dataclass(frozen=True)
class Artifact:
    """The file with the fitted estimator; `size` in bytes, `sha256` in lower-case hex."""

    file: str
    format: ArtifactFormat
    input_format: InputFormat
    size: int
    sha256: str
    input_dtype: InputDtype = InputDtype.FLOAT64


@dataclass(frozen=True)
class TrainingData:
    """Where the training rows came from; `fingerprint` is a sha256 over their values, `target` the column learnt."""

    source: str
    rows: int
    fingerprint: str
    target: str | None = None


@dataclass(frozen=True)
class Golden:
    """Rows with the predictions of the estimator when it was published. The loaded artifact must predict the same."""

    rows: tuple[Row, ...]
    predictions: tuple[Value, ...]
    probabilities: tuple[Mapping[str, float | None], ...] | None = None


@dataclass(frozen=True)
class ManifestDraft:
    """What is known of a model version before it is published.

    `warnings` are sentences for the users of the version.
    """

    name: str
    recipe: str
    artifact: ArtifactDraft
    signature: Signature
    training_data: TrainingData
    metrics: Mapping[str, float] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    example: Mapping[str, Value] = field(default_factory=dict)
    golden: Golden = Golden((), ())
    notes: str = ""
    warnings: tuple[str, ...] = ()

    def publish(self, version: int, created_at: str, artifact: Artifact, libraries: Mapping[str, str]) -> ModelManifest:
        """Return the manifest of the published version."""
        return ModelManifest(
            name=self.name,
            version=version,
            created_at=created_at,
            recipe=self.recipe,
            artifact=artifact,
            libraries=libraries,
            signature=self.signature,
            training_data=self.training_data,
            metrics=self.metrics,
            parameters=self.parameters,
            example=self.example,
            golden=self.golden,
            notes=self.notes,
            warnings=self.warnings,
        )

    def error(self, code: str, what: str, **details: object) -> ModelgateError:
        """Return the error `the model 'loan' <what>`."""
        return ModelgateError(code, f"the model {self.name!r} {what}", model=self.name, **details)

    def dumps(self) -> str:
        return json.dumps(_plain(self), allow_nan=False)

    @classmethod
    def loads(cls, text: str | bytes) -> ManifestDraft:
        """Parse a draft. Raises `ModelgateError` (`manifest_invalid`), which names the wrong part."""
        return parse(text, lambda read: _draft(read, _artifact_draft(read.part("artifact"))))


@dataclass(frozen=True)
class ModelManifest:
    """All that is known of one model version.

    `libraries` maps a library to the version that made it; `warnings` are sentences for the users of the version.
    """

    name: str
    version: int
    created_at: str
    recipe: str
    artifact: Artifact
    libraries: Mapping[str, str]
    signature: Signature
    training_data: TrainingData
    metrics: Mapping[str, float] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    example: Mapping[str, Value] = field(default_factory=dict)
    golden: Golden = Golden((), ())
    notes: str = ""
    warnings: tuple[str, ...] = ()

    def error(self, code: str, what: str, **details: object) -> ModelgateError:
        """Return the error `version 3 of the model 'loan' <what>`."""
        return version_error(code, self.name, self.version, what, **details)

    def dumps(self) -> str:
        return json.dumps({"schema_version": SCHEMA_VERSION, **_plain(self)}, indent=2, allow_nan=False) + "\n"

    @classmethod
    def loads(cls, text: str | bytes) -> ModelManifest:
        """Parse a manifest. Raises `ModelgateError` (`manifest_invalid`), which names the wrong part."""
        return parse(text, _manifest)


def _manifest(read: Reader) -> ModelManifest:
    if (schema_version := read.get("schema_version")) != SCHEMA_VERSION:
        raise invalid(f"has schema_version {schema_version!r}; this release reads {SCHEMA_VERSION}")
    part = read.part("artifact")
    layout = _artifact_draft(part)
    artifact = Artifact(
        file=_file_name(part.value("file", str)),
        format=layout.format,
        input_format=layout.input_format,
        size=part.value("size", int),
        sha256=part.value("sha256", str),
        input_dtype=layout.input_dtype,
    )
    return _draft(read, layout).publish(
        version=read.value("version", int),
        created_at=read.value("created_at", str),
        artifact=artifact,
        libraries=read.value("libraries", dict),
    )


def _artifact_draft(read: Reader) -> ArtifactDraft:
    return ArtifactDraft(
        format=ArtifactFormat(read.choice("format", ArtifactFormat)),
        input_format=InputFormat(read.choice("input_format", InputFormat)),
        input_dtype=InputDtype(read.optional_choice("input_dtype", InputDtype) or InputDtype.FLOAT64),
    )


def _draft(read: Reader, artifact: ArtifactDraft) -> ManifestDraft:
    golden, training_data = read.part("golden"), read.part("training_data")
    probabilities = golden.optional("probabilities", list)
    return ManifestDraft(
        name=read.value("name", str),
        recipe=read.value("recipe", str),
        artifact=artifact,
        signature=_signature(read.part("signature")),
        training_data=TrainingData(
            source=training_data.value("source", str),
            rows=training_data.value("rows", int),
            fingerprint=training_data.value("fingerprint", str),
            target=training_data.optional("target", str),
        ),
        metrics=_metrics(read),
        parameters=read.value("parameters", dict),
        example=read.value("example", dict),
        golden=Golden(
            rows=tuple(tuple(row) for row in golden.value("rows", list)),
            predictions=tuple(golden.value("predictions", list)),
            probabilities=None if probabilities is None else tuple(probabilities),
        ),
        notes=read.optional("notes", str) or "",
        warnings=read.texts("warnings") if read.optional("warnings", list) else (),
    )


def _signature(read: Reader) -> Signature:
    inputs = read.parts("inputs")
    if not inputs:
        raise invalid("has no signature.inputs")
    output = read.part("output")
    labels = output.optional("labels", list)
    signature = Signature(
        inputs=tuple(_field(part) for part in inputs),
        output=Output(
            kind=OutputKind(output.choice("kind", OutputKind)),
            labels=None if labels is None else output.scalars("labels"),
            probabilities=output.value("probabilities", bool),
        ),
        id_field=read.optional("id_field", str),
    )
    spellings = [name for f in signature.inputs for name in (f.name, *f.aliases)]
    repeated = [name for name, times in Counter(spellings).items() if times > 1]
    if repeated:
        raise invalid(f"names the input {sorted(repeated)[0]!r} twice")
    return signature


def _field(read: Reader) -> Field:
    categories = read.optional("categories", list)
    written = read.optional("format", str)
    return Field(
        name=read.value("name", str),
        kind=Kind(read.choice("kind", Kind)),
        nullable=read.value("nullable", bool),
        categories=None if categories is None else read.texts("categories"),
        aliases=read.texts("aliases"),
        format=None if written is None else Format(read.choice("format", Format)),
    )


def _metrics(read: Reader) -> Mapping[str, float]:
    found = read.value("metrics", dict)
    for name, value in found.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise read.wrong(f"metrics.{name:.60}", "a number", value)
    return found


def _file_name(name: str) -> str:
    if not name or name.startswith(".") or "/" in name or "\\" in name or "\0" in name:
        raise invalid(f"names the artifact file {name!r}; it must be in the folder of the manifest")
    return name


def _plain(value: Any) -> Any:
    """Return dataclasses, enums and tuples as values that `json` writes."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, StrEnum) else value

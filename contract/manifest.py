"""The manifest: the JSON beside an artifact that says what a model version takes and gives."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import isfinite
from typing import Any, TypeVar

from contract.errors import Code, ModelgateError, version_error
from contract.jobs import Row, Value

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
        """Parse a manifest. Raises `ModelgateError` (`manifest_invalid`), which names the wrong part."""
        return _parsed(text, lambda read: _draft(read, _artifact_draft(read.part("artifact"))))


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
        return _parsed(text, _manifest)


T = TypeVar("T")


def _parsed(text: str | bytes, build: Callable[[_Reader], T]) -> T:
    try:
        data = json.loads(text, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise _invalid(f"is not JSON ({error})") from error
    if not isinstance(data, dict):
        raise _invalid("is not a JSON object")
    try:
        return build(_Reader(data, ""))
    except (TypeError, ValueError, RecursionError) as error:
        raise _invalid(f"has a value of the wrong type ({error})") from error


def _manifest(read: _Reader) -> ModelManifest:
    if (schema_version := read.get("schema_version")) != SCHEMA_VERSION:
        raise _invalid(f"has schema_version {schema_version!r}; this release reads {SCHEMA_VERSION}")
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


def _artifact_draft(read: _Reader) -> ArtifactDraft:
    return ArtifactDraft(
        format=ArtifactFormat(read.choice("format", ArtifactFormat)),
        input_format=InputFormat(read.choice("input_format", InputFormat)),
        input_dtype=InputDtype(read.optional_choice("input_dtype", InputDtype) or InputDtype.FLOAT64),
    )


def _draft(read: _Reader, artifact: ArtifactDraft) -> ManifestDraft:
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
        warnings=_texts(read, "warnings") if read.optional("warnings", list) else (),
    )


def _signature(read: _Reader) -> Signature:
    inputs = read.parts("inputs")
    if not inputs:
        raise _invalid("has no signature.inputs")
    output = read.part("output")
    labels = output.optional("labels", list)
    signature = Signature(
        inputs=tuple(_field(part) for part in inputs),
        output=Output(
            kind=OutputKind(output.choice("kind", OutputKind)),
            labels=None if labels is None else _scalars(output, "labels"),
            probabilities=output.value("probabilities", bool),
        ),
        id_field=read.optional("id_field", str),
    )
    spellings = [name for f in signature.inputs for name in (f.name, *f.aliases)]
    repeated = [name for name, times in Counter(spellings).items() if times > 1]
    if repeated:
        raise _invalid(f"names the input {sorted(repeated)[0]!r} twice")
    return signature


def _field(read: _Reader) -> Field:
    categories = read.optional("categories", list)
    written = read.optional("format", str)
    return Field(
        name=read.value("name", str),
        kind=Kind(read.choice("kind", Kind)),
        nullable=read.value("nullable", bool),
        categories=None if categories is None else _texts(read, "categories"),
        aliases=_texts(read, "aliases"),
        format=None if written is None else Format(read.choice("format", Format)),
    )


def _finite(text: str) -> float:
    """JSON has no other numbers, but Python reads NaN, Infinity and 1e999."""
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text:.40} is not a finite number")
    return number


def _texts(read: _Reader, key: str) -> tuple[str, ...]:
    found = read.value(key, list)
    if wrong := [item for item in found if not isinstance(item, str)]:
        raise read.wrong(key, "a list of texts", wrong[0])
    return tuple(found)


def _scalars(read: _Reader, key: str) -> tuple[Value, ...]:
    found = read.value(key, list)
    if wrong := [item for item in found if isinstance(item, list | dict)]:
        raise read.wrong(key, "a list of plain values", wrong[0])
    return tuple(found)


def _metrics(read: _Reader) -> Mapping[str, float]:
    found = read.value("metrics", dict)
    for name, value in found.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise read.wrong(f"metrics.{name:.60}", "a number", value)
    return found


def _file_name(name: str) -> str:
    if not name or name.startswith(".") or "/" in name or "\\" in name or "\0" in name:
        raise _invalid(f"names the artifact file {name!r}; it must lie beside the manifest")
    return name


def _invalid(what: str) -> ModelgateError:
    return ModelgateError(Code.MANIFEST_INVALID, f"the manifest {what}")


def _plain(value: Any) -> Any:
    """Return dataclasses, enums and tuples as values that `json` writes."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, StrEnum) else value


class _Reader:
    """Reads typed parts of parsed JSON. Errors name the path of a missing or wrong part."""

    def __init__(self, data: Mapping[str, Any], path: str) -> None:
        self._data = data
        self._path = path

    def get(self, key: str) -> Any:
        return self._data.get(key)

    def value(self, key: str, kind: type[T]) -> T:
        found = self._data.get(key)
        if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
            raise self.wrong(key, f"a {kind.__name__}", found)
        return found

    def wrong(self, key: str, wanted: str, found: object) -> ModelgateError:
        return _invalid(f"needs {self._path}{key}, {wanted}; it has {found!r:.60}")

    def optional(self, key: str, kind: type[T]) -> T | None:
        return None if self._data.get(key) is None else self.value(key, kind)

    def choice(self, key: str, choices: type[StrEnum]) -> str:
        found = self.value(key, str)
        if found not in list(choices):
            raise self.wrong(key, f"one of {', '.join(choices)}", found)
        return found

    def optional_choice(self, key: str, choices: type[StrEnum]) -> str | None:
        return None if self._data.get(key) is None else self.choice(key, choices)

    def part(self, key: str) -> _Reader:
        return _Reader(self.value(key, dict), f"{self._path}{key}.")

    def parts(self, key: str) -> list[_Reader]:
        items = self.value(key, list)
        for index, item in enumerate(items):
            if not isinstance(item, dict):
                raise _invalid(f"needs {self._path}{key}[{index}], an object; it has {item!r:.60}")
        return [_Reader(item, f"{self._path}{key}[{index}].") for index, item in enumerate(items)]

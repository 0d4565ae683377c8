"""The manifest: the JSON beside an artifact that says what a model version takes and gives."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, TypeVar

from contract.errors import ModelgateError, version_error
from contract.model.environments import ENVIRONMENT, TODAY
from contract.model.manifest_reader import check_signature, invalid, parse, read
from contract.model.signature import OPTIONAL, Signature
from contract.row import Answer, Row, Value


@dataclass(frozen=True)
class ColumnProfile:
    """One column of a profile; `nulls` is its number of nulls.

    Numbers, and times as seconds since 1970, have `edges` from the least to the greatest value, and `counts` has the
    rows between each two: up to ten different values, or up to 11 quantiles of more. The greatest is there twice if the
    last bin is of it alone. Other columns have their most frequent `values`, `counts` has the rows of each, and
    `others` is the number of rows with another value.
    """

    nulls: int
    edges: tuple[float, ...] = ()
    values: tuple[Value, ...] = ()
    counts: tuple[int, ...] = ()
    others: int = 0


@dataclass(frozen=True)
class DataProfile:
    """`inputs` are in the order of the signature, without those beyond a limit; `outputs` are what the model answered
    for such rows. `sample`: they are those of an import's sample, and not the training rows."""

    rows: int
    inputs: tuple[ColumnProfile, ...]
    outputs: tuple[ColumnProfile, ...]
    sample: bool = False


M = TypeVar("M", "ManifestDraft", "ModelManifest", "VersionSummary")
P = TypeVar("P", "ModelManifest", "VersionSummary")

SCHEMA_VERSION = 3
"""The manifests of releases 1.x. Those of earlier trees have 1 or 2."""


class InputFormat(StrEnum):
    """What the estimator takes: what it was fitted on.

    NUMBERED is a DataFrame whose columns are numbered from 0, TEXTS a list of texts, SERIES a Series of texts, RECORDS
    a list of dicts.
    """

    ARRAY = "array"
    DATAFRAME = "dataframe"
    NUMBERED = "numbered_dataframe"
    TEXTS = "texts"
    SERIES = "series"
    RECORDS = "records"


class InputDtype(StrEnum):
    """The dtype that the estimator was fitted on.

    FLOAT32 applies to all columns of the kind number; of a DataFrame, the `Field` of each column says so, too. INT64
    applies to an array of whole numbers without nulls; in a DataFrame the kind of each column decides.
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
class Kernels:
    """What comparing kernels (docs/adr/0038) with the estimator has found. They are `used` if all answers are equal bit
    for bit. `revision` identifies the kernels that were compared, and the libraries; others are compared anew."""

    revision: str
    used: bool


@dataclass(frozen=True)
class ArtifactDraft:
    """How an artifact is to be written, and how its estimator takes rows.

    `alone`: each request is scored by itself, because answers may depend on the rows beside them.
    """

    format: ArtifactFormat
    input_format: InputFormat
    input_dtype: InputDtype = InputDtype.FLOAT64
    kernels: Kernels | None = None
    alone: bool = field(default=False, metadata=OPTIONAL)
    changes: tuple[str, ...] = field(default=(), metadata=OPTIONAL)


@dataclass(frozen=True)
class Artifact:
    """The file with the fitted estimator; `size` in bytes, `sha256` in lower-case hex.

    `kernels` is None if the estimator had none when it was published. `alone` is as in `ArtifactDraft`. `changes`: what
    its code changes of the process, so that it is scored apart from other models (docs/adr/0094).
    """

    file: str
    format: ArtifactFormat
    input_format: InputFormat
    size: int
    sha256: str
    input_dtype: InputDtype = InputDtype.FLOAT64
    kernels: Kernels | None = None
    alone: bool = field(default=False, metadata=OPTIONAL)
    changes: tuple[str, ...] = field(default=(), metadata=OPTIONAL)


@dataclass(frozen=True)
class TrainingData:
    """Where the training rows came from; `fingerprint` is a sha256 over their values, `target` the column learnt."""

    source: str
    rows: int
    fingerprint: str
    target: str | None = None


@dataclass(frozen=True)
class Golden:
    """Rows with the answers of the estimator's first method when it was published, which is `predict` where there is
    one. The loaded artifact must answer the same."""

    rows: tuple[Row, ...]
    predictions: tuple[Answer, ...]
    probabilities: tuple[Answer, ...] | None = None


@dataclass(frozen=True)
class Remark:
    """A warning for the users of a version. People read the `text`; code reads the `code` and the `fields`, which are
    names of inputs or outputs. Both are empty if no code acts on the remark."""

    text: str
    code: str = ""
    fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class ManifestDraft:
    """What is known of a model version before it is published."""

    name: str
    recipe: str
    artifact: ArtifactDraft
    signature: Signature
    training_data: TrainingData
    metrics: Mapping[str, float] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    example: Mapping[str, Answer] = field(default_factory=dict)
    golden: Golden = Golden((), ())
    notes: str = ""
    remarks: tuple[Remark, ...] = ()
    profile: DataProfile | None = None
    environment: str = field(default=TODAY, metadata=OPTIONAL)

    def publish(self, version: int, created_at: str, artifact: Artifact, libraries: Mapping[str, str]) -> ModelManifest:
        """Return the manifest of the published version."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        known |= {"version": version, "created_at": created_at, "artifact": artifact, "libraries": libraries}
        return ModelManifest(**known)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The texts of the remarks."""
        return tuple(remark.text for remark in self.remarks)

    def error(self, code: str, what: str, **details: object) -> ModelgateError:
        """Return the error `the model 'loan' <what>`."""
        return ModelgateError(code, what, f"the model {self.name!r}", model=self.name, **details)

    def dumps(self) -> str:
        return json.dumps(_plain(self), allow_nan=False)

    @classmethod
    def loads(cls, text: str | bytes) -> ManifestDraft:
        """Parse a draft. Raises `ModelgateError` (`manifest_invalid`), which names the wrong part."""
        return _checked(read(parse(text), cls))


@dataclass(frozen=True)
class ModelManifest:
    """All that is known of one model version.

    `libraries` maps a library to the version that made it. `environment` has the libraries that it is served with.
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
    example: Mapping[str, Answer] = field(default_factory=dict)
    golden: Golden = Golden((), ())
    notes: str = ""
    remarks: tuple[Remark, ...] = ()
    profile: DataProfile | None = None
    environment: str = field(default=TODAY, metadata=OPTIONAL)

    def draft(self) -> ManifestDraft:
        """Return what was known of the version before it was published."""
        layout = ArtifactDraft(**{entry.name: getattr(self.artifact, entry.name) for entry in fields(ArtifactDraft)})
        known = {field.name: getattr(self, field.name) for field in fields(ManifestDraft)}
        return ManifestDraft(**{**known, "artifact": layout})

    @property
    def warnings(self) -> tuple[str, ...]:
        """The texts of the remarks."""
        return tuple(remark.text for remark in self.remarks)

    def error(self, code: str, what: str, **details: object) -> ModelgateError:
        """Return the error `version 3 of the model 'loan' <what>`."""
        return version_error(code, self.name, self.version, what, **details)

    def dumps(self) -> str:
        return json.dumps({"schema_version": SCHEMA_VERSION, **_plain(self)}, indent=2, allow_nan=False) + "\n"

    @classmethod
    def loads(cls, text: str | bytes) -> ModelManifest:
        """Parse a manifest. Raises `ModelgateError` (`manifest_invalid`), which names the wrong part."""
        manifest = _published(text, cls)
        name = manifest.artifact.file
        if not name or name.startswith(".") or "/" in name or "\\" in name or "\0" in name:
            raise invalid(f"names the artifact file {name!r}; it must be in the folder of the manifest")
        return manifest


@dataclass(frozen=True)
class VersionSummary:
    """What a list shows of a version. The rest of a manifest, such as its profile, is most of it: without it, a
    summary takes a tenth of the memory, and a third of the time to read."""

    name: str
    version: int
    created_at: str
    signature: Signature
    training_data: TrainingData
    metrics: Mapping[str, float]
    environment: str = field(default=TODAY, metadata=OPTIONAL)

    @classmethod
    def loads(cls, text: str | bytes) -> VersionSummary:
        """Parse it from a manifest. Raises as `ModelManifest.loads` if one of these parts is wrong."""
        return _published(text, cls)


@dataclass(frozen=True)
class _Schema:
    schema_version: int


def _published(text: str | bytes, part: type[P]) -> P:
    """Return what `part` has of a published manifest. Raises `ModelgateError` (`manifest_invalid`)."""
    data = parse(text)
    schema_version = read(data, _Schema).schema_version
    if schema_version < SCHEMA_VERSION:
        raise invalid("was written before release 1.0.0, which does not read it; train or import the model again")
    if schema_version > SCHEMA_VERSION:
        raise invalid(f"has schema_version {schema_version}; this release reads {SCHEMA_VERSION}: upgrade Modelgate")
    return _checked(read(data, part))


def _checked(manifest: M) -> M:
    check_signature(manifest.signature)
    if manifest.environment != TODAY and not ENVIRONMENT.fullmatch(manifest.environment):
        raise invalid(f"names the environment {manifest.environment[:64]!r}, which is no name")
    return manifest


def _plain(value: Any) -> Any:
    """Return dataclasses, enums and tuples as values that `json` writes."""
    if hasattr(value, "__dataclass_fields__"):
        members = ((entry, getattr(value, entry.name)) for entry in fields(value))
        return {entry.name: _plain(item) for entry, item in members if item or "optional" not in entry.metadata}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, StrEnum) else value

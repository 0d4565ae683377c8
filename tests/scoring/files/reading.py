"""Files of random cells, and how a request with the same rows would be read."""

from __future__ import annotations

import csv
import io
import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from contract.errors import FieldError, InvalidInstances
from contract.model.manifest import Artifact, ArtifactFormat, InputFormat, ModelManifest, TrainingData
from contract.model.signature import Field, Format, Kind, Output, OutputKind, Signature
from contract.rows import csv_table
from contract.rows.coercion import coerce
from contract.rows.file_formats import FileFormat
from contract.rows.instances import Grid, Instances
from scoring.files.codec import join_lines
from scoring.files.plan import FilePlan, NotReadable, Steps
from scoring.files.stages import CODECS, Part, plan, score
from tests.support import numbers

JUNK = [
    "abc",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "1_000",
    "0x10",
    "1d5",
    ".",
    "-",
    "+",
    "e5",
    "1e",
    "++1",
    "1,5",
    "1.5.2",
    "٣",
]
JUNK += ["?", "NA", "null", "none", "1e400", "-1e999", "infinity", "TRUE", "5%", "$5", "1 000", "\u00a05", "5\u00a0"]
BLANKS = ["", "", " ", "   ", "\t", "\u3000"]
WORDS = ["red", "green", "blau", "Zürich", "a b", "=1+1", "-x", "  lead", "trail  ", "x\u2028y", "\ufefff"]


@dataclass
class Loaded:
    """A loaded model of this signature."""

    signature: Signature
    estimator: Any
    kernel: None = None
    input_format: InputFormat = InputFormat.DATAFRAME
    manifest: ModelManifest = field(init=False)

    def __post_init__(self) -> None:
        artifact = Artifact("model.joblib", ArtifactFormat.JOBLIB, self.input_format, 1, "0")
        data = TrainingData("test", 1, "0", "target")
        self.manifest = ModelManifest("m", 1, "", "r", artifact, {}, self.signature, data)


class Lengths:
    """Predicts the number of columns: it takes any."""

    def predict(self, X: Any) -> Any:
        return [float(X.shape[1])] * len(X)


CLASSES = Output(OutputKind.CLASS, labels=("no", "yes"), probabilities=True)


class Sign:
    """Whether the sum of a row is positive, and how surely."""

    def predict(self, X: Any) -> Any:
        return np.where(np.asarray(X, float).sum(axis=1) > 0, "yes", "no")

    def predict_proba(self, X: Any) -> Any:
        p = 1 / (1 + np.exp(-np.asarray(X, float).sum(axis=1)))
        return np.column_stack([1 - p, p])


MODEL = Loaded(Signature(numbers("a", "b"), (CLASSES,)), Sign(), input_format=InputFormat.ARRAY)


def scored(
    folder: Path,
    body: bytes,
    input_format: FileFormat = FileFormat.CSV,
    output: FileFormat | None = None,
    model: Loaded = MODEL,
    method: str = "predict",
    escape: bool = False,
    **options: Any,
) -> tuple[Path, list[dict[str, Any]]]:
    """Score a file, and return the output and the errors."""
    source, whole, errors = folder / "input", folder / "output", folder / "errors"
    source.write_bytes(body)
    planned = finished(plan(source, input_format, output or input_format, model, method=method, escape=escape))
    file_plan = FilePlan.from_json(json.loads(json.dumps(planned.to_json())))
    parts = [Part(folder / f"{chunk.number}.output", folder / f"{chunk.number}.errors") for chunk in file_plan.chunks]
    for chunk, part in zip(file_plan.chunks, parts, strict=True):
        finished(score(model, source, file_plan, chunk, part, method=method, **options))
    finished(CODECS[file_plan.output].join(file_plan, [part.output for part in parts], whole))
    finished(join_lines((part.errors for part in parts if part.errors.exists()), errors))
    return whole, [json.loads(line) for line in errors.read_text().splitlines()]


def scored_text(folder: Path, body: bytes, **options: Any) -> tuple[str, list[dict[str, Any]]]:
    """Score a file, and return the text of the output and the errors."""
    output, errors = scored(folder, body, **options)
    return output.read_bytes().decode(), errors


def finished(steps: Steps[Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def written_as(rng: random.Random, value: float) -> str:
    """Return a number as some program would write it."""
    how = rng.randrange(8)
    if how < 3:
        return repr(value)
    text = [f"{value:.3f}", f"{value:e}", f"{value:.25f}", str(int(value)), f"+{abs(value)!r}"][how - 3]
    return rng.choice(["", " "]) + text + rng.choice(["", " "]) if rng.random() < 0.1 else text


def cell_of(rng: random.Random, of: Field, bad: float) -> str:
    if rng.random() < bad:
        return rng.choice([*JUNK, *BLANKS, *WORDS])
    if of.nullable and rng.random() < 0.1:
        return rng.choice(["", "NA", " "])
    if of.kind is Kind.NUMBER:
        value = rng.choice(
            [rng.gauss(0, 1), rng.gauss(0, 1) * 10 ** rng.randint(-300, 300), float(rng.randrange(10**9))]
        )
        text = written_as(rng, value)
        return rng.choice([text, f"{text} {of.unit}", f"({text})", f"{int(abs(value)) % 10**9:,}".replace(",", "'")])
    if of.kind is Kind.INTEGER:
        return str(rng.choice([rng.randrange(-(2**63), 2**63), rng.randrange(100)]))
    if of.kind is Kind.BOOLEAN:
        return rng.choice(["true", "false", "True", "0", "1"])
    if of.kind is Kind.DATETIME:
        return rng.choice(["2024-05-17", "2024-05-17T10:30:00Z", "2024-05-17 10:30"])
    return rng.choice(of.categories or WORDS)


def random_signature(rng: random.Random, kinds: list[Kind]) -> Signature:
    fields = []
    for number in range(rng.randint(1, 5)):
        kind = rng.choice(kinds)
        fields.append(
            Field(
                f"f{number}",
                kind,
                nullable=rng.random() < 0.5,
                categories=("red", "green", "NA") if kind is Kind.STRING and rng.random() < 0.3 else None,
                aliases=(f"alias {number}",) if rng.random() < 0.2 else (),
                format=rng.choice([None, None, None, Format.DECIMAL_COMMA, Format.THOUSANDS_COMMA])
                if kind in (Kind.NUMBER, Kind.INTEGER)
                else None,
                guessed=kind is Kind.NUMBER and rng.random() < 0.2,
                unit=rng.choice([None, "%", "kg"]) if kind is Kind.NUMBER else None,
            )
        )
    return Signature(tuple(fields), (Output(OutputKind.NUMBER),), id_field="id" if rng.random() < 0.3 else None)


@dataclass
class Read:
    """How a file was read: its rows, or why it was refused."""

    rows: list[list[Any]] | None
    refused: list[int] | None
    errors: list[FieldError] | None
    failure: str | None = None


def as_request(body: bytes, signature: Signature) -> Read:
    """Read a CSV as the body of a lenient request."""
    try:
        table = csv_table.read(io.BytesIO(body))
    except csv_table.NotCsv:
        return Read(None, None, None, "not readable")
    return coerced(Grid(table.columns, table.rows, table.separator), signature)


def coerced(instances: Instances, signature: Signature) -> Read:
    try:
        result = coerce(instances, signature, "target", lenient=True)
    except InvalidInstances as error:
        whole = any(field_error.row is None for field_error in error.errors)
        if whole:
            only = [field_error for field_error in error.errors if field_error.row is None]
            return Read(None, None, only)
        return Read([], list(range(len(instances.rows))), list(error.errors))
    return Read(plain(result.rows), list(result.refused), list(result.errors))


def as_file(path: Path, input_format: FileFormat, model: Loaded) -> tuple[Read, FilePlan | None]:
    """Read a file chunk by chunk."""
    try:
        file_plan: FilePlan = finished(plan(path, input_format, input_format, model))
    except NotReadable:
        return Read(None, None, None, "not readable"), None
    except InvalidInstances as error:
        return Read(None, None, list(error.errors)), None
    read = Read([], [], [])
    assert read.rows is not None and read.refused is not None and read.errors is not None
    next_row = 0
    for chunk in file_plan.chunks:
        assert chunk.first_row == next_row
        next_row += chunk.rows
        rows = finished(CODECS[input_format].reader(path, file_plan, chunk, model).read(lenient=True))
        assert len(rows.rows) + len(rows.refused) == chunk.rows
        read.rows += plain(rows.rows)
        read.refused += [chunk.first_row + number for number in rows.refused]
        read.errors += rows.errors
    assert next_row == file_plan.rows
    return read, file_plan


def plain(rows: Any) -> list[list[Any]]:
    """Return rows as lists of what Python has: NumPy's numbers as its own, NaN as null."""
    return [[_plain(value) for value in row] for row in rows]


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if value != value else value


def random_csv(rng: random.Random) -> tuple[bytes, Signature]:
    """Return a CSV file, as any program may write it, and the signature of a model that may take it."""
    signature = random_signature(rng, rng.choice([[Kind.NUMBER], [Kind.NUMBER], list(Kind)]))
    separator = rng.choice([",", ",", ";", "\t", "|"])
    columns = [(field, rng.choice([field.name, field.name.upper(), *field.aliases])) for field in signature.inputs]
    rng.shuffle(columns)
    others = ["extra"] * (rng.random() < 0.4) + ["id"] * (signature.id_field is not None)
    for name in others:
        columns.insert(rng.randrange(len(columns) + 1), (Field(name, Kind.STRING), name))
    if rng.random() < 0.05:
        columns.pop()
    bad = rng.choice([0, 0, 0, 0.01, 0.3])
    quoting = rng.choice([csv.QUOTE_NONE, csv.QUOTE_NONE, csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    lines = [_line(rng, [name for _, name in columns], separator, quoting, 0)]
    for _ in range(rng.choice([1, 2, 5, 9, 30, 60])):
        lines.append(_line(rng, [cell_of(rng, field, bad) for field, _ in columns], separator, quoting, bad))
        if rng.random() < 0.01:
            lines.append(rng.choice(["", " ", separator, 'a 5" b', '"open']))
    end = rng.choice(["\n", "\n", "\r\n", "\r", "\n\n"])
    text = end.join(lines) + (end if rng.random() < 0.8 else "")
    try:
        return text.encode(rng.choice(["utf-8", "utf-8", "utf-8-sig", "cp1252", "utf-16"])), signature
    except UnicodeEncodeError:
        return text.encode(), signature


def _line(rng: random.Random, cells: list[str], separator: str, quoting: Any, bad: float) -> str:
    if rng.random() < bad * 0.1:
        cells = rng.choice([[*cells, "more"], cells[:-1]])
    if quoting == csv.QUOTE_NONE:
        return separator.join(cell.replace(separator, "") for cell in cells)
    line = io.StringIO()
    broken = [cell + "\n" * (rng.random() < bad * 0.1) for cell in cells]
    csv.writer(line, delimiter=separator, quoting=quoting, lineterminator="").writerow(broken)
    return line.getvalue()

"""Scores one chunk of a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import orjson

from contract.model.signature import PREDICT
from scoring.files.answers import Scorable, listed, score_rows, spread
from scoring.files.file_codecs import CODECS
from scoring.files.plan import Chunk, FilePlan, Steps


class Part(NamedTuple):
    """The files that one chunk becomes: rows with their answers, and errors (absent if there are none)."""

    output: Path
    errors: Path


@dataclass(frozen=True)
class Scored:
    """What scoring a chunk has found: its `rows`, how many of them were `refused`, all their `errors`, and how many
    answers are null because they are not finite numbers."""

    rows: int
    refused: int
    errors: int
    nulls: int


def score(
    model: Scorable,
    path: Path,
    plan: FilePlan,
    chunk: Chunk,
    part: Part,
    *,
    method: str = PREDICT.name,
    lenient: bool = True,
) -> Steps[Scored]:
    """Score a chunk; yields the rows of each call of the model, and 0 after other steps (reading, writing).

    Only `part.output` and `part.errors` are written; the same chunk gives the same bytes. The caller passes names of
    its own and renames the files into place.

    Raises `contract.errors.InvalidInstances` if a row is invalid and not `lenient`, with the numbers that rows have in
    the file; `contract.errors.ModelgateError` (`model_error`) if the model raises; `MemoryError`; `OSError`.
    """
    reader = CODECS[plan.input].reader(path, plan, chunk, model)
    chunk_rows = yield from reader.read(lenient=lenient)
    answers = yield from score_rows(model, chunk_rows.rows, method, plan.call_rows)
    if chunk_rows.refused:
        good = sorted(set(range(chunk.rows)).difference(chunk_rows.refused))
        answers = [spread(column, good, chunk.rows) for column in answers]
    nulls = listed(answers[0]).count(None) - len(chunk_rows.refused)
    yield from CODECS[plan.output].write(part.output, plan, reader, answers)
    if chunk_rows.errors:
        lines = (orjson.dumps(error.to_json(), option=orjson.OPT_APPEND_NEWLINE) for error in chunk_rows.errors)
        part.errors.write_bytes(b"".join(lines))
    return Scored(chunk.rows, len(chunk_rows.refused), len(chunk_rows.errors), nulls)

"""`python -m tests.qa.zoo.releases.verdicts FOLDER`: imports the files that `fit.py` has saved under the scikit-learn
that runs this module, and compares the answers.

Prints a line of JSON for each kind: its name, and `SAME`, `DIFFERS` and how, or why it is refused. With `--exactly`
only answers that are equal to the last bit are the same, and no remark may speak of another release.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import operator
import sys
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np

from contract.errors import ModelgateError
from scoring.artifacts import unpack, use_one_thread
from scoring.predict import Prediction, predict
from trainer.importing import Refused
from trainer.importing.trial.examine import examine

RELATIVE = 1e-12
"""How far a number may be from that of another release. The last digits depend on the build of BLAS."""

SAME, DIFFERS = "same", "DIFFERS"


def main(folder: Path, exactly: bool) -> None:
    """A file may crash its reader, so each has a process of its own."""
    for file in sorted(folder.glob("*.pkl")):
        with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as process:
            try:
                verdict = process.submit(_verdict, file, exactly).result()
            except BrokenProcessPool:
                verdict = "it crashes the process that reads it"
        sys.stdout.write(f"{json.dumps([file.stem, verdict])}\n")
        sys.stdout.flush()


def _verdict(file: Path, exactly: bool) -> str:
    expected, code = json.loads(file.with_suffix(".json").read_text()), file.with_suffix(".py")
    warnings.simplefilter("ignore")
    sample = None if exactly else _sample(file, expected)
    try:
        examined = examine("m", file, sample, code=code if code.exists() else None)
    except Refused as refused:
        return str(refused)
    draft = examined.draft
    if exactly and (others := [remark.text for remark in draft.remarks if "made with" in remark.text]):
        return f"{DIFFERS}: {others[0]}"
    estimator = unpack(examined.artifact or file.read_bytes(), draft.artifact.format)
    use_one_thread(estimator)
    columns = expected["columns"] or draft.signature.names
    columns_in_order = [columns.index(name) for name in draft.signature.names]
    try:
        answer = predict(estimator, draft, [[row[column] for column in columns_in_order] for row in expected["rows"]])
    except ModelgateError as error:
        return f"{DIFFERS}: {error}"
    return next((f"{DIFFERS}: {how}" for how in _differences(expected, answer, exactly)), SAME)


def _sample(file: Path, expected: Mapping[str, Any]) -> Path:
    """Write the rows with the answers of the release that has saved the file, which today's has to give, too."""
    rows, first = expected["rows"], expected["predictions"][0]
    outputs = [f"y{number}" for number in range(len(first))] if isinstance(first, list) else []
    names = [*(expected["columns"] or (f"x{column}" for column in range(len(rows[0])))), *(outputs or ["prediction"])]
    parts = [rows, expected["predictions"]]
    if (probabilities := expected["probabilities"]) is not None:
        tables = zip(outputs, probabilities[0], strict=True) if outputs else [("", probabilities[0])]
        labels = {output: expected["classes"] or range(len(table)) for output, table in tables}
        names += [
            "_".join(filter(None, ("probability", output, str(label)))) for output in labels for label in labels[output]
        ]
        parts.append(probabilities)
    elif (scores := expected["scores"]) is not None and not isinstance(scores[0], list):
        names.append("score")
        parts.append(scores)
    sample = file.with_suffix(".csv")
    with sample.open("w", newline="") as written:
        csv.writer(written).writerows([names, *(list(_flat(row)) for row in zip(*parts, strict=True))])
    return sample


def _differences(expected: Mapping[str, Any], answer: Prediction, exactly: bool) -> Iterator[str]:
    old, new = list(_flat(expected["predictions"])), list(_flat(answer.values))
    if all(isinstance(value, float) for value in new):
        yield from _between(old, new, exactly)
    elif old != new:
        yield f"{sum(map(operator.ne, old, new))} of {len(new)} labels"
    if (answer.probabilities is None) != (expected["probabilities"] is None):
        yield "only one has probabilities"
    for asked, own in ((answer.probabilities, expected["probabilities"]), (answer.scores, expected["scores"])):
        if asked is not None:
            yield from _between(list(_flat(own)), list(_flat(asked)), exactly)


def _between(old: list[Any], new: list[Any], exactly: bool) -> Iterator[str]:
    numbers, others = np.array(old, dtype=np.float64), np.array(new, dtype=np.float64)
    if numbers.shape != others.shape:
        yield f"{len(new)} numbers and not {len(old)}"
        return
    to_the_last_bit = numbers.tobytes() == others.tobytes()
    if not (to_the_last_bit if exactly else np.allclose(numbers, others, rtol=RELATIVE, atol=RELATIVE)):
        yield f"by up to {np.abs(numbers - others).max():.2g}"


def _flat(answer: Any) -> Iterator[Any]:
    """Yield the values in lists and dicts of any depth."""
    if isinstance(answer, Mapping):
        answer = list(answer.values())
    if not isinstance(answer, list | tuple):
        yield answer
        return
    for inner in answer:
        yield from _flat(inner)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--exactly", action="store_true")
    given = parser.parse_args()
    main(given.folder, given.exactly)

"""`make zoo RELEASES=all`: imports files that other releases of scikit-learn have saved, and compares the answers.

Each release has an environment of its own under `.venv-zoo/`, where `fit.py` fits and saves every kind of estimator.
Prints the table of docs/reference/imports.md. Exits with 1 if a kind would be served with other numbers than under its
own release.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np

from contract.errors import ModelgateError
from runtime.limits import ONE_THREAD
from scoring.artifacts import unpack, use_one_thread
from scoring.predict import predict
from trainer.importing import Refused
from trainer.importing.trial.examine import examine

RELEASES: Mapping[str, Sequence[str]] = {
    "1.1.3": ("numpy<2", "pandas<2.1"),
    "1.2.2": ("numpy<2", "pandas<2.1"),
    "1.3.2": ("numpy<2", "pandas<2.3"),
    "1.4.2": ("numpy<2", "pandas<2.3"),
    "1.5.2": ("numpy<2", "pandas<2.3"),
    "1.6.1": ("pandas<2.3",),
    "1.7.2": ("pandas<2.3",),
    "1.8.0": ("pandas<2.3",),
}
"""The releases, each with the libraries that it needs. All have wheels for Python 3.11."""

FIT = Path(__file__).resolve().with_name("fit.py")
ENVIRONMENTS = FIT.parents[3] / ".venv-zoo"
RELATIVE = 1e-12
"""How far a number may be from that of the other release. The last digits depend on the build of BLAS."""

SAME, DIFFERS, MISSING = "same", "DIFFERS", "–"
REFUSED = {
    "its answers would be wrong": "numbers",
    "does not predict": "predict",
    "none of the methods that Modelgate serves": "predict",
    "add a CSV": "sample",
}
"""The word in the table for a refusal that has this text; any other refusal means that the file does not load."""


def main(releases: Sequence[str]) -> int:
    table: dict[str, dict[str, str]] = defaultdict(dict)
    for release in releases:
        for kind, verdict in _verdicts(_saved(release)):
            table[kind][release] = verdict
            if verdict != SAME:
                sys.stderr.write(f"{release} {kind}: {verdict}\n")
    sys.stdout.write("\n".join(_lines(table, releases)) + "\n")
    return int(any(verdict.startswith(DIFFERS) for verdicts in table.values() for verdict in verdicts.values()))


def _saved(release: str) -> Path:
    """Return the folder of the files that a release has saved. Makes its environment if there is none yet."""
    environment = ENVIRONMENTS / release
    python, folder, stamp = environment / "bin/python", environment / "saved", environment / "saved.stamp"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        wanted = [f"scikit-learn=={release}", *RELEASES[release]]
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *wanted], check=True)
    if not stamp.exists() or stamp.stat().st_mtime < FIT.stat().st_mtime:
        one_thread = {**os.environ, **ONE_THREAD}
        subprocess.run([str(python), str(FIT), str(folder)], check=True, env=one_thread)
        stamp.touch()
    return folder


def _verdicts(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield each kind, and `SAME`, `DIFFERS` and how, or why it is refused. A file may crash its reader."""
    for file in sorted(folder.glob("*.pkl")):
        with ProcessPoolExecutor(1) as process:
            try:
                yield file.stem, process.submit(_verdict, file).result()
            except BrokenProcessPool:
                yield file.stem, "it crashes the process that reads it"


def _verdict(file: Path) -> str:
    expected = json.loads(file.with_suffix(".json").read_text())
    warnings.simplefilter("ignore")
    try:
        examined = examine("m", file, None)
    except Refused as refused:
        return str(refused)
    draft = examined.draft
    estimator = unpack(examined.artifact or file.read_bytes(), draft.artifact.format)
    use_one_thread(estimator)
    columns = expected["columns"] or draft.signature.names
    columns_in_order = [columns.index(name) for name in draft.signature.names]
    try:
        answer = predict(estimator, draft, [[row[column] for column in columns_in_order] for row in expected["rows"]])
    except ModelgateError as error:
        return f"{DIFFERS}: {error}"
    if draft.signature.output.labels is None:
        return _compared(expected["predictions"], answer.values)
    wrong = sum(old != new for old, new in zip(expected["predictions"], answer.values, strict=True))
    if wrong:
        return f"{DIFFERS}: {wrong} of {len(answer.values)} labels"
    table = None if answer.probabilities is None else [list(row.values()) for row in answer.probabilities]
    if (table is None) != (expected["probabilities"] is None):
        return f"{DIFFERS}: only one has probabilities"
    return _compared(expected["probabilities"] or [], table or [])


def _compared(old: Any, new: Any) -> str:
    if np.allclose(old, new, rtol=RELATIVE, atol=RELATIVE):
        return SAME
    return f"{DIFFERS}: by up to {np.abs(np.subtract(old, new)).max():.2g}"


def _lines(table: Mapping[str, Mapping[str, str]], releases: Sequence[str]) -> Iterator[str]:
    """Yield the table in Markdown. Kinds with the same results share a line."""
    alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for kind, verdicts in table.items():
        alike[tuple(_word(verdicts.get(release, MISSING)) for release in releases)].append(kind)
    yield f"| | {' | '.join(releases)} |"
    yield f"|---|{'---|' * len(releases)}"
    for words, kinds in sorted(alike.items(), key=lambda item: (-item[0].count(SAME), item[1])):
        yield f"| {', '.join(sorted(kinds))} | {' | '.join(words)} |"


def _word(verdict: str) -> str:
    if verdict.startswith((SAME, DIFFERS, MISSING)):
        return verdict
    return next((word for said, word in REFUSED.items() if said in verdict), "load")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("releases", nargs="*", default=list(RELEASES), help="all, unless some are named")
    sys.exit(main(parser.parse_args().releases))

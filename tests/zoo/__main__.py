"""Imports what other releases of scikit-learn have saved, and compares the answers: `make zoo`.

Each release gets an environment of its own under `.venv-zoo/`, where `fit.py` fits and saves every kind of estimator.
Prints the table of docs/import.md; ends with 1 where a kind would be served with other numbers than it had at home.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np

from contract.errors import ModelgateError
from scoring.artifacts import unpack, use_one_thread
from scoring.predict import predict
from trainer.importing import Refused
from trainer.importing.examine import examine

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
"""With what has to be installed beside them. They have wheels for Python 3.11."""

RELATIVE = 1e-12
"""How far a number may be from the one at home: what another build of BLAS does to the last digits."""

HOME = Path(__file__).resolve().parents[2]
ENVIRONMENTS = HOME / ".venv-zoo"
SAME, DIFFERS, CRASHES = "same", "DIFFERS", "refused: crashes the process that reads it"


def main(releases: Iterable[str]) -> int:
    verdicts = {release: _verdicts(_saved(release)) for release in releases}
    for release, found in verdicts.items():
        sys.stdout.write(_row(release, found) + "\n")
        for kind, verdict in found.items():
            if verdict != SAME:
                sys.stderr.write(f"{release} {kind}: {verdict}\n")
    return int(any(verdict.startswith(DIFFERS) for found in verdicts.values() for verdict in found.values()))


def _saved(release: str) -> Path:
    """The folder with what a release has fitted; makes its environment where there is none yet."""
    environment = ENVIRONMENTS / release
    python, folder = environment / "bin/python", environment / "saved"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        wanted = [f"scikit-learn=={release}", *RELEASES[release]]
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *wanted], check=True)
    subprocess.run(
        [str(python), str(HOME / "tests/zoo/fit.py"), str(folder)],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
    )
    return folder


def _verdicts(folder: Path) -> dict[str, str]:
    """By kind: `SAME`, `DIFFERS` and how, or why it is refused."""
    found = {}
    for file in sorted(folder.glob("*.pkl")):
        with ProcessPoolExecutor(1) as process:
            try:
                found[file.stem] = process.submit(_verdict, file).result()
            except BrokenProcessPool:
                found[file.stem] = CRASHES
    return found


def _verdict(file: Path) -> str:
    at_home = json.loads(file.with_suffix(".json").read_text())
    warnings.simplefilter("ignore")
    try:
        examined = examine("m", file, None)
    except Refused as refused:
        return f"refused: {refused}"
    draft = examined.draft
    estimator = unpack(examined.artifact or file.read_bytes(), draft.artifact.format)
    use_one_thread(estimator)
    columns = at_home["columns"] or draft.signature.names
    places = [columns.index(name) for name in draft.signature.names]
    try:
        answer = predict(estimator, draft, [[row[place] for place in places] for row in at_home["rows"]])
    except ModelgateError as error:
        return f"{DIFFERS}: {error}"
    tables = answer.probabilities
    if (tables is None) != (at_home["probabilities"] is None):
        return f"{DIFFERS}: probabilities on one side only"
    wrong = [old != new for old, new in zip(at_home["predictions"], answer.values, strict=True)]
    if draft.signature.output.labels is None:
        return _compared(at_home["predictions"], answer.values)
    if any(wrong):
        return f"{DIFFERS}: {sum(wrong)} of {len(wrong)} labels"
    return _compared(at_home["probabilities"] or [], [list(table.values()) for table in tables or ()])


def _compared(old: Any, new: Any) -> str:
    if np.allclose(old, new, rtol=RELATIVE, atol=RELATIVE):
        return SAME
    return f"{DIFFERS}: by up to {np.abs(np.subtract(old, new)).max():.2g}"


def _row(release: str, found: Mapping[str, str]) -> str:
    kinds = defaultdict(list)
    for kind, verdict in found.items():
        kinds[verdict.partition(":")[0]].append(kind)
    return f"| {release} | {', '.join(kinds[SAME])} | {', '.join(kinds['refused'])} | {', '.join(kinds[DIFFERS])} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("releases", nargs="*", default=list(RELEASES), help="all, unless some are named")
    sys.exit(main(parser.parse_args().releases))

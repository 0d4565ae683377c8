"""Loads a staged version as a worker does, in its own process, and compares its answers to the golden rows.

`python -m trainer.publishing.verify FOLDER TRUST` prints one sentence and ends with 1 when they differ. TRUST is a
`scoring.trust.Trust` as JSON.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable
from pathlib import Path

from contract.errors import ModelgateError
from contract.jobs import Value
from contract.manifest import Golden, ModelManifest
from contract.repository import MANIFEST_FILE
from scoring.artifacts import load
from scoring.predict import Prediction, predict
from scoring.trust import Trust

TOLERANCE = 1e-9
"""Relative tolerance for numbers and probabilities; classes must be equal."""

RECIPES = "trainer.recipes"


def difference(golden: Golden, found: Prediction) -> str | None:
    """Return a sentence about the first golden row with a different answer, or None."""
    for row, (old, new) in enumerate(zip(golden.predictions, found.values, strict=True)):
        if not _same(old, new):
            return f"golden row {row} gave {old!r} when the model was trained, and gives {new!r} after loading"
    for row, (before, after) in enumerate(zip(golden.probabilities or (), found.probabilities or (), strict=True)):
        if before.keys() != after.keys() or not all(_same(before[label], after[label]) for label in before):
            return f"golden row {row} gave the probabilities {dict(before)}, and gives {dict(after)} after loading"
    return None


def _same(old: Value, new: Value) -> bool:
    if isinstance(old, float) and isinstance(new, float):
        return math.isclose(old, new, rel_tol=TOLERANCE, abs_tol=1e-15)
    return type(old) is type(new) and old == new


def main(arguments: Iterable[str]) -> str | None:
    # A worker has no recipes, so an artifact that needs one must not load here either.
    sys.modules[RECIPES] = None  # type: ignore[assignment]
    name, trust = arguments
    folder = Path(name)
    try:
        manifest = ModelManifest.loads((folder / MANIFEST_FILE).read_bytes())
        estimator = load(manifest, folder, Trust.from_json(json.loads(trust)))
        return difference(manifest.golden, predict(estimator, manifest, manifest.golden.rows))
    except ModelgateError as error:
        hint = "; its recipe needs artifact_format=CLOUDPICKLE" if RECIPES in str(error) else ""
        return f"{error}{hint}"


if __name__ == "__main__":
    problem = main(sys.argv[1:])
    if problem:
        sys.stdout.write(problem + "\n")
        sys.exit(1)

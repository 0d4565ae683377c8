"""Loads a staged version as a worker does, in a process of its own, and compares its answers to the golden rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from contract.errors import ModelgateError
from contract.model.manifest import Golden, ModelManifest
from contract.model.version_files import VersionFiles
from contract.row import Answer
from scoring.artifacts import load
from scoring.kernels import kernel_for
from scoring.predict import Prediction, predict
from scoring.trust import Trust

TOLERANCE = 1e-9
"""Relative tolerance for numbers and probabilities; classes must be equal."""

RANDOM = (
    "answers the same rows differently each time, since it draws random numbers or keeps what it was asked before;"
    " fit it without that, or with a random_state that makes it draw the same ones"
)

RECIPES = "trainer.recipes"

_MOST_SHOWN = 500
"""Most characters of an answer in a sentence."""


def difference(golden: Golden, prediction: Prediction) -> str | None:
    """Return a sentence about the first golden row with a different answer, or None."""
    for row, (old, new) in enumerate(zip(golden.predictions, prediction.values, strict=True)):
        if not same(old, new):
            return (
                f"golden row {row} gave {_shown(old)} when the model was trained, and gives {_shown(new)} after loading"
            )
    for row, (old, new) in enumerate(zip(golden.probabilities or (), prediction.probabilities or (), strict=True)):
        if not same(old, new):
            return f"golden row {row} gave the probabilities {_shown(old)}, and gives {_shown(new)} after loading"
    return None


def are_random(first: Prediction, again: Prediction) -> bool:
    """Return whether two answers to the same rows differ."""
    return not same([first.values, first.probabilities], [again.values, again.probabilities])


def same(old: Answer, new: Answer, relative: float = TOLERANCE, absolute: float = 1e-15) -> bool:
    """Return whether answers are equal but for the rounding of their numbers."""
    if isinstance(old, float) and isinstance(new, float):
        return math.isclose(old, new, rel_tol=relative, abs_tol=absolute)
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return old.keys() == new.keys() and all(same(old[key], new[key], relative, absolute) for key in old)
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return len(old) == len(new) and all(same(*pair, relative, absolute) for pair in zip(old, new, strict=True))
    return type(old) is type(new) and old == new


def _shown(answer: Answer) -> str:
    text = repr(answer)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


def main(answer: IO[str], arguments: Mapping[str, Any]) -> None:
    """Verify the version in `arguments["folder"]` under `arguments["trust"]`, a `scoring.trust.Trust` as JSON. Write a
    line: empty, or a sentence about a difference or why it does not load."""
    answer.write(f"{_problem(VersionFiles(Path(arguments['folder'])), Trust.from_json(arguments['trust'])) or ''}\n")


def _problem(files: VersionFiles, trust: Trust) -> str | None:
    try:
        manifest = ModelManifest.loads(files.manifest())
        estimator = load(manifest, files, trust)
        kernel = kernel_for(estimator, manifest)
        first, again = (predict(estimator, manifest, manifest.golden.rows, kernel) for _ in range(2))
        return f"it {RANDOM}" if are_random(first, again) else difference(manifest.golden, first)
    except ModelgateError as error:
        hint = "; its recipe needs artifact_format=CLOUDPICKLE" if RECIPES in str(error) else ""
        return f"{error}{hint}"

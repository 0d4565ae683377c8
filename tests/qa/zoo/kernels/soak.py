"""Compares the kernels of one model with its estimator on many rows."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from modelgate_kernels.comparison import answer_of, ensembles, method_pairs
from modelgate_kernels.kernel import OwnMethods
from modelgate_kernels.same import same
from modelgate_kernels.thresholds import threshold_rows

from contract.model.manifest import ManifestDraft
from contract.row import ColumnarRows, Row
from scoring.artifacts import unpack, use_one_thread
from scoring.held_objects import parts_in
from scoring.kernels import find_version_kernel, methods_of
from tests.qa.zoo.kernels.rows import Part, parts_for
from tests.qa.zoo.kinds import SPECIMENS
from trainer.importing import Refused
from trainer.importing.trial.examine import examine

_METHODS = ("predict", "predict_proba", "decision_function")
_AT_ONCE = 30_000
_ALONE = 8
"""Rows of a part that are also compared one by one."""


@dataclass
class Compared:
    """What was found for one specimen. `kernel`: its final estimator has one, or only what is before it."""

    name: str
    kernel: bool = False
    transforms: bool = False
    rows: int = 0
    seconds: float = 0.0
    left: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def compared(slug: str, folder: Path, count: int) -> Compared:
    """Compare the specimen that `tests.qa.zoo.fit` has saved in `folder`, as it is imported."""
    specimen = next(candidate for candidate in SPECIMENS if candidate.slug == slug)
    result, start = Compared(specimen.name), time.monotonic()
    file, sample, code = (folder / f"{specimen.slug}{suffix}" for suffix in (specimen.suffix, ".csv", ".py"))
    with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
        try:
            existing = [other if other.exists() else None for other in (sample, code)]
            examined = examine("m", file, existing[0], code=existing[1])
            estimator = unpack(examined.artifact or file.read_bytes(), examined.draft.artifact.format)
        except Refused:
            return result
        use_one_thread(estimator)
        _compare(estimator, examined.draft, count, result)
    result.seconds = time.monotonic() - start
    return result


def _compare(estimator: Any, draft: ManifestDraft, count: int, result: Compared) -> None:
    kernel = find_version_kernel(estimator, draft.signature, draft.artifact)
    if kernel is None:
        return
    result.kernel, result.transforms = not isinstance(kernel.kernel, OwnMethods), isinstance(kernel.kernel, OwnMethods)
    result.wrong += [remark.text for remark in draft.remarks if remark.code == "kernels_unlike"]
    for part in parts_for(draft.signature, draft.golden.rows, count):
        result.rows += len(part.rows)
        for number, (of_estimator, other) in enumerate(method_pairs(kernel, methods_of(draft.signature))):
            what = f"{draft.signature.methods[number].name}, {part.name}"
            _judge(what, of_estimator, other, part, result)
    for ensemble, own_kernel in ensembles(parts_in(estimator)):
        rows = threshold_rows(ensemble, None)
        for block in () if rows is None else np.split(rows, range(_AT_ONCE, len(rows), _AT_ONCE)):
            part = Part("thresholds", block, True)
            result.rows += len(part.rows)
            for name in _METHODS:
                if hasattr(ensemble, name):
                    what = f"{name} of {type(ensemble).__name__}"
                    _judge(what, getattr(ensemble, name), partial(answer_of, own_kernel, name), part, result)


def _judge(
    what: str, of_estimator: Callable[[Any], Any], other: Callable[[Any], Any], part: Part, result: Compared
) -> None:
    for block in _blocks(part.rows):
        expected, refused = _outcome(of_estimator, block)
        answer, left = _outcome(other, block)
        if refused and not left:
            result.wrong.append(f"{what}: answers {len(block)} rows that are refused with {refused!r:.80}")
        elif left and not refused:
            result.left.append(f"{'MUST ANSWER ' if part.covered else ''}{what}: {len(block)} rows: {left!r:.80}")
        elif not refused and not same(answer, expected):
            result.wrong.append(f"{what}: differs for {len(block)} rows")


def _blocks(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Yield all rows, by column and by row, a few, and some of them alone."""
    yield rows
    if isinstance(rows, ColumnarRows):
        yield list(rows)
    if isinstance(rows, np.ndarray):
        yield np.asfortranarray(rows)
    for few in (64, 7):
        yield rows[:few]
    for start in range(0, len(rows), max(1, len(rows) // _ALONE)):
        yield rows[start : start + 1]


def _outcome(ask: Callable[[Any], Any], rows: Any) -> tuple[Any, Exception | None]:
    try:
        return ask(rows), None
    except Exception as error:
        return None, error

"""What a report is made of: all that is known when a training has ended and nothing is published yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contract.jobs import Row, Value
from contract.manifest import ModelManifest
from trainer.recipe import Candidate


@dataclass(frozen=True)
class Evidence:
    """`rows` (in signature order) and `targets` are all that was trained and tested on; `X_test` (a matrix as
    `scoring.matrix` makes it) and `y_test` those of them on which `manifest.metrics` were measured: held out, unless
    `held_out` is False. `previous` is the version that would be replaced, and `previous_metrics` its metrics on the
    same rows, None where it cannot be asked. `remarks` are sentences on what was found in the data and done about it,
    `notes` what the caller wrote, `target` the name of the column that is learnt.
    """

    manifest: ModelManifest
    estimator: Any
    rows: Sequence[Row]
    targets: Sequence[Value]
    X_test: Any
    y_test: Any
    held_out: bool
    candidates: Sequence[Candidate] = ()
    remarks: Sequence[str] = ()
    previous: ModelManifest | None = None
    previous_metrics: Mapping[str, float] | None = None
    target: str = "target"
    notes: str = ""

"""Compares what two versions have answered to the same rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from contract.model.manifest import ModelManifest
from contract.model.signature import Output, OutputKind

_SAME = 1e-9
"""The relative difference up to which two numbers are the same."""

Answered = tuple[Any, Mapping[str, float | None] | None]
"""The prediction for a row, and its probabilities as a record of the log has them, or None."""


class Comparison:
    """Counts the `rows` whose answers were compared and those with the `same` answer, and sums up their distances."""

    def __init__(self, current: ModelManifest) -> None:
        """`current`: the version that has answered the requests."""
        self.rows = self.same = 0
        self.distance = 0.0
        profiles = current.profile.outputs if current.profile else ()
        edges = [profile.edges for profile in profiles] or [()] * len(current.signature.outputs)
        self._outputs = [
            (output, known[-1] - known[0] if known else 0.0)
            for output, known in zip(current.signature.outputs, edges, strict=True)
        ]

    def add(self, current: Answered, candidate: Answered) -> None:
        """Compare the answers to one row. Their distance is between 0 and 1.

        That of probabilities is half of their L1 distance (the total variation distance); without them that of a class
        is 0 or 1. That of numbers is their difference as a part of the spread of what the current version answered to
        its training rows, or of the greater number if that is unknown. Several outputs have the mean of theirs.
        """
        (value, shares), (other_value, other_shares) = current, candidate
        distances = [
            _distance(output, spread, self._part(value, output), self._part(other_value, output))
            for output, spread in self._outputs
        ]
        self.rows += 1
        self.same += not any(distances)
        if shares is not None and other_shares is not None:
            labels = {**shares, **other_shares}
            distances = [abs((shares.get(label) or 0.0) - (other_shares.get(label) or 0.0)) / 2 for label in labels]
        self.distance += sum(distances) / len(self._outputs)

    def _part(self, answer: Any, output: Output) -> Any:
        """Return the answer of one output; several have names."""
        return answer if len(self._outputs) == 1 or answer is None else answer[output.name]


def _distance(output: Output, spread: float, value: Any, other: Any) -> float:
    if value == other:
        return 0.0
    if output.kind is not OutputKind.NUMBER or value is None or other is None:
        return 1.0
    if math.isclose(value, other, rel_tol=_SAME):
        return 0.0
    return min(1.0, float(abs(value - other) / (spread or max(abs(value), abs(other)))))

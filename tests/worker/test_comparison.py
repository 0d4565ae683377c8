"""Answers of two versions are compared row by row."""

from __future__ import annotations

from typing import Any

import pytest

from contract.model.manifest import (
    Artifact,
    ArtifactFormat,
    ColumnProfile,
    DataProfile,
    InputFormat,
    ModelManifest,
    TrainingData,
)
from contract.model.signature import Output, OutputKind, Signature
from tests.support import numbers
from worker.comparison import Comparison

NUMBER, CLASS = Output(OutputKind.NUMBER), Output(OutputKind.CLASS)
BOTH = (Output(OutputKind.CLASS, name="kind"), Output(OutputKind.NUMBER, name="price"))


def compared(outputs: tuple[Output, ...], current: Any, candidate: Any, *edges: float) -> tuple[int, float]:
    """Return how many rows are the same (0 or 1) and the distance. An answer is a prediction, or that and its
    probabilities."""
    profile = DataProfile(10, (), tuple(ColumnProfile(0, edges) for _ in outputs)) if edges else None
    manifest = ModelManifest(
        "sum",
        1,
        "2026-01-02T03:04:05Z",
        "by hand",
        Artifact("model.joblib", ArtifactFormat.JOBLIB, InputFormat.ARRAY, 1, ""),
        {},
        Signature(numbers("a"), outputs),
        TrainingData("by hand", 0, ""),
        profile=profile,
    )
    comparison = Comparison(manifest)
    comparison.add(*(answer if isinstance(answer, tuple) else (answer, None) for answer in (current, candidate)))
    assert comparison.rows == 1
    return comparison.same, comparison.distance


@pytest.mark.parametrize(
    ("current", "candidate", "same", "distance"),
    [
        (3.0, 3.0, 1, 0.0),
        (1e6, 1e6 + 1e-4, 1, 0.0),
        (3.0, 5.0, 0, 0.2),
        (3.0, 300.0, 0, 1.0),
        (0.0, 1e-12, 0, 1e-13),
        (None, None, 1, 0.0),
        (None, 3.0, 0, 1.0),
        (3.0, None, 0, 1.0),
    ],
)
def test_numbers_are_as_far_apart_as_their_difference_is_of_the_spread(
    current: float | None, candidate: float | None, same: int, distance: float
) -> None:
    found = compared((NUMBER,), current, candidate, -5.0, 0.0, 5.0)
    assert found == (same, pytest.approx(distance))


def test_without_a_profile_a_difference_is_a_part_of_the_greater_number() -> None:
    assert compared((NUMBER,), 3.0, 4.0) == (0, 0.25)
    assert compared((NUMBER,), 0.0, -4.0) == (0, 1.0)
    assert compared((NUMBER,), 3.0, -3.0) == (0, 1.0)


def test_classes_are_the_same_or_not() -> None:
    assert compared((CLASS,), "a", "a") == (1, 0.0)
    assert compared((CLASS,), "a", "b") == (0, 1.0)


def test_probabilities_are_as_far_apart_as_half_of_their_absolute_differences() -> None:
    assert compared((CLASS,), ("a", {"a": 0.9, "b": 0.1}), ("a", {"a": 0.6, "b": 0.4})) == (1, pytest.approx(0.3))
    assert compared((CLASS,), ("a", {"a": 1.0, "b": 0.0}), ("c", {"b": 0.5, "c": 0.5})) == (0, pytest.approx(1.0))
    assert compared((CLASS,), ("a", {"a": 1.0, "b": None}), ("b", {"a": 0.0, "b": 1.0})) == (0, pytest.approx(1.0))


def test_probabilities_of_one_version_alone_say_nothing() -> None:
    assert compared((CLASS,), ("a", {"a": 0.9, "b": 0.1}), "a") == (1, 0.0)
    assert compared((CLASS,), "a", ("b", {"a": 0.4, "b": 0.6})) == (0, 1.0)


def test_several_outputs_have_the_mean_of_their_distances() -> None:
    current = {"kind": "a", "price": 3.0}
    assert compared(BOTH, current, {"kind": "a", "price": 4.0}, 0.0, 10.0) == (0, pytest.approx(0.05))
    assert compared(BOTH, current, current) == (1, 0.0)
    shares = [
        {"x: a": 0.5, "x: b": 0.5, "y: a": 1.0, "y: b": 0.0},
        {"x: a": 0.9, "x: b": 0.1, "y: a": 1.0, "y: b": 0.0},
    ]
    classes = (Output(OutputKind.CLASS, name="x"), Output(OutputKind.CLASS, name="y"))
    answer = {"x": "a", "y": "a"}
    assert compared(classes, (answer, shares[0]), (answer, shares[1])) == (1, pytest.approx(0.2))

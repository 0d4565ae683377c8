"""Golden rows reveal a model that changed when it was loaded."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from contract.model.manifest import Golden
from contract.row import Value
from scoring.predict import Prediction
from trainer.publishing import verify


def compare(old: Value, new: Value) -> str | None:
    return verify.difference(Golden(rows=((1.0, 2.0),), predictions=(old,)), Prediction([new], None, []))


@pytest.mark.parametrize("value", [1, "yes", True, None, 2.5, 0.0])
def test_the_same_answer_is_the_same(value: Value) -> None:
    assert compare(value, value) is None


@pytest.mark.parametrize(("old", "new"), [(1, 2), (1, True), (1, 1.0), ("1", 1), (None, 0.0), (0.0, None), (0, 1)])
def test_another_class_is_a_difference(old: Value, new: Value) -> None:
    assert compare(old, new) == (
        f"golden row 0 gave {old!r} when the model was trained, and gives {new!r} after loading"
    )


def test_a_number_may_differ_by_one_part_in_a_billion() -> None:
    assert compare(30.0, 30.0 * (1 + 5e-10)) is None
    assert compare(30.0, 30.0 * (1 + 5e-9)) is not None


@pytest.mark.parametrize("after", [{"0": 0.25, "1": 0.75}, {"0": 0.2, "2": 0.8}, {"0": 0.2, "1": None}])
def test_other_probabilities_are_a_difference(after: Mapping[str, float | None]) -> None:
    golden = Golden(rows=((1.0, 2.0),), predictions=(1,), probabilities=({"0": 0.2, "1": 0.8},))
    assert verify.difference(golden, Prediction([1], [{"0": 0.2, "1": 0.8}], [])) is None
    said = verify.difference(golden, Prediction([1], [after], []))
    assert said is not None
    assert said.startswith("golden row 0 gave the probabilities")

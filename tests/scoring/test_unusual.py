"""Values far from what training saw are found, and almost none of rows like those of the training."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.model.manifest import ModelManifest
from contract.model.row_profile import profile_of
from contract.model.signature import Field, Kind, Output, OutputKind, RowFormat, Signature
from contract.row import ColumnarRows
from scoring.unusual import UnusualValues
from tests.support import Sum, numbers, write_version
from tests.trainer.fitting import rows_of
from trainer import recipes

FIELDS = (
    Field("age", Kind.NUMBER),
    Field("rooms", Kind.INTEGER, nullable=True),
    Field("country", Kind.STRING, nullable=True),
    Field("name", Kind.STRING),
    Field("old", Kind.BOOLEAN),
    Field("always", Kind.NUMBER),
)
AGE, SAW = 40.0, "and training saw 18 to 90"


def trained(rows: int = 300) -> list[tuple[Any, ...]]:
    return [
        (18.0 + row % 73, row % 5 or None, ("DE", "FR", "AT", None)[row % 4], f"name {row}", row % 2 == 0, 7.0)
        for row in range(rows)
    ]


@pytest.fixture
def manifest(models: Path) -> ModelManifest:
    return write_version(models, "sum", Sum(), numbers("a"))


def check(manifest: ModelManifest, rows: Sequence[Any], fields: Sequence[Field] = FIELDS) -> UnusualValues:
    signature = Signature(tuple(fields), (Output(OutputKind.NUMBER),), format=RowFormat.TABLE)
    profile = profile_of(signature, rows, [0.0] * len(rows))
    changed = dataclasses.replace(manifest, signature=signature, profile=profile)
    return UnusualValues(ModelManifest.loads(changed.dumps()))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({0: 2900.0}, "'age' is far from what training saw: it is 2900, and training saw 18 to 90"),
        ({0: -100.0}, "it is -100, and training saw 18 to 90"),
        ({1: 40}, "'rooms' is far from what training saw: it is 40, and training saw 1 to 4"),
        ({2: "BE"}, "'country' is far from what training saw: it is 'BE', and training saw 'DE', 'FR', 'AT'"),
        ({5: 70.0}, "'always' is far from what training saw: it is 70, and training saw 7 to 7"),
    ],
)
def test_one_value_far_away_is_one_warning(manifest: ModelManifest, change: dict[int, Any], said: str) -> None:
    unusual, usual = check(manifest, trained()), [AGE, 2, "DE", "Ada", True, 7.0]
    row = [change.get(index, value) for index, value in enumerate(usual)]
    for rows in ([row], [usual, row, row], ColumnarRows(list(zip(usual, row, strict=True)))):
        (warning,) = unusual.find(rows)
        assert said in warning
    assert unusual.find([usual]) == [] == unusual.find([usual] * 3)


def test_what_an_imports_sample_showed_is_not_called_what_training_saw(manifest: ModelManifest) -> None:
    fields, rows = (Field("age", Kind.NUMBER),), [(18.0 + row,) for row in range(73)]
    signature = Signature(fields, (Output(OutputKind.NUMBER),))
    profile = profile_of(signature, rows, [0.0] * 73, sample=True)
    unusual = UnusualValues(dataclasses.replace(manifest, signature=signature, profile=profile))
    assert unusual.find([[2900.0]]) == ["'age' is far from the sample of its import: it is 2900, and that has 18 to 90"]


@pytest.mark.parametrize("change", [{0: 120.0}, {1: None}, {2: None}, {3: "a new name"}, {5: 7.5}])
def test_a_value_near_what_training_saw_is_none(manifest: ModelManifest, change: dict[int, Any]) -> None:
    """Nor is a null, nor another value of a column that had a new one in most rows."""
    row = [change.get(index, value) for index, value in enumerate([AGE, 2, "DE", "Ada", True, 7.0])]
    assert check(manifest, trained()).find([row]) == []


def test_few_rows_and_versions_without_a_profile_warn_of_nothing(manifest: ModelManifest) -> None:
    row = [1e9, 10**6, "XX", "", True, 1e9]
    assert check(manifest, trained(29)).find([row]) == []
    assert UnusualValues(manifest).find([[1e9]]) == []


def test_a_column_of_numbers_that_an_edit_made_texts_has_no_unknown_words(manifest: ModelManifest) -> None:
    rows = [(float(number),) for number in range(100)]
    unusual = check(manifest, rows, [Field("a", Kind.NUMBER)])
    assert unusual.find([[2900.0]])
    signature = Signature((Field("a", Kind.STRING),), (Output(OutputKind.NUMBER),))
    profile = profile_of(Signature((Field("a", Kind.NUMBER),), signature.outputs), rows, [0.0])
    assert UnusualValues(dataclasses.replace(manifest, signature=signature, profile=profile)).find([["x"]]) == []


@pytest.mark.parametrize("name", ["loan", "boston", "iris"])
def test_almost_no_row_that_training_did_not_see_is_unusual(manifest: ModelManifest, name: str) -> None:
    recipe = recipes.get(name)
    assert recipe.inputs is not None
    rows, warnings, seen = list(rows_of(recipe).rows), 0, 0
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(rows))
        held_out = [rows[index] for index in order[: len(rows) // 4]]
        unusual = check(manifest, [rows[index] for index in order[len(rows) // 4 :]], recipe.inputs)
        warnings += sum(len(unusual.find([row])) for row in held_out)
        seen += len(held_out)
    assert warnings <= 0.002 * seen

"""Rows of the prediction log become a table that a recipe takes, in the columns of the current version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract.model.repository import Repository
from contract.model.signature import Field, Kind, Output, OutputKind
from contract.work.training import OutcomeRows, TrainingRequest
from observer.learning import Learning
from observer.log.outcomes import Outcomes
from observer.log.store import LogStore
from tests.observer.conftest import folder, store
from tests.observer.log.test_outcomes import INPUTS, by_row, keep, logged, send
from tests.support import Sum, write_version
from trainer import recipes
from trainer.recipe import DataError, Recipe, Table
from trainer.tables.outcome_rows import outcome_table
from trainer.tables.training_rows import to_rows

__all__ = ["folder", "store"]

REQUEST = TrainingRequest("loan", "tabular", target="paid", outcomes=OutcomeRows())
OUTPUT = Output(OutputKind.CLASS, (0, 1), probabilities=True)

MakeTable = Callable[..., tuple[Table, TrainingRequest]]


def words(X: Any, y: Any) -> None:
    """Fit nothing."""


WORDS = Recipe("words", INPUTS, Field("paid", Kind.STRING, categories=("N", "Y")), words, id_field="customer")


@pytest.fixture
def table(store: LogStore, models: Path) -> MakeTable:
    """Make the table of a recipe from ten logged rows, of which the last five have an outcome."""

    def make(recipe: Recipe, request: TrainingRequest = REQUEST, **manifest: Any) -> tuple[Table, TrainingRequest]:
        write_version(models, "loan", Sum(), INPUTS, OUTPUT, **manifest)
        outcomes, frame = Outcomes(store), logged(10).sort_values("time")
        keep(store, frame)
        send(outcomes, by_row(frame[5:]))
        repository = Repository(models)
        return outcome_table(request, recipe, repository, Learning(store, outcomes, repository).page)

    return make


def test_the_recipe_for_any_table_gets_texts_and_the_columns_of_the_version(table: MakeTable) -> None:
    made, request = table(recipes.get("tabular"), id_field="customer")
    assert made.columns == ["customer", "age", "town", "paid"]
    assert len(made.rows) == 5
    newest = logged(10).sort_values("time").iloc[-1]
    town = newest["town"] if isinstance(newest["town"], str) else None
    assert made.rows[0] == [newest["id"], f"{newest['age']:g}", town, str(newest["outcome"])]
    assert (request.features, request.id_field) == (("age", "town"), "customer")
    assert request.kinds == {"age": "number", "town": "string"}


def test_a_recipe_with_words_gets_its_words(table: MakeTable) -> None:
    made, request = table(WORDS, replace(REQUEST, recipe="words", target=None))
    rows = to_rows(WORDS, made)
    assert request.target is None and made.columns == ["customer", "age", "town", "paid"]
    assert sorted(rows.targets) == sorted(logged(10).sort_values("time")["outcome"][5:])


def test_no_more_than_the_newest_so_many_are_taken(table: MakeTable) -> None:
    made, _ = table(recipes.get("tabular"), replace(REQUEST, outcomes=OutcomeRows(2)))
    assert len(made.rows) == 2


@pytest.mark.parametrize(
    ("request_", "manifest", "message"),
    [
        (REQUEST, {"current": False}, "loan has no current version"),
        (replace(REQUEST, outcomes=OutcomeRows(owner="risk")), {}, "has no row of loan whose outcome is known"),
    ],
)
def test_a_log_that_cannot_be_learnt_from_says_why(
    table: MakeTable, request_: TrainingRequest, manifest: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        table(recipes.get("tabular"), request_, **manifest)


def test_a_model_of_several_answers_says_so(models: Path) -> None:
    number = Output(OutputKind.NUMBER)
    manifest = write_version(models, "loan", Sum(), INPUTS, number)
    several = replace(manifest, signature=replace(manifest.signature, outputs=(number, number)))

    class Several(Repository):
        def manifest(self, *_: Any) -> Any:
            return several

    with pytest.raises(DataError, match="does not take columns and give one answer"):
        outcome_table(REQUEST, WORDS, Several(models), lambda _: {})

"""The models of `tabular` are blends of tables like those that users have; a pair's ratio is that of its round."""

from __future__ import annotations

import numpy as np
import pytest
from modelgate_kernels.matrix import to_matrix
from sklearn.ensemble import VotingClassifier, VotingRegressor
from threadpoolctl import threadpool_limits

from bench import models, pairs, rows
from bench.measures import Measure, Measures
from bench.processes import PROJECT
from trainer.recipe import Run


@pytest.mark.slow
@pytest.mark.parametrize(("name", "blend"), [("loan", VotingClassifier), ("diamonds", VotingRegressor)])
def test_the_recipe_of_a_table_fits_a_blend(name: str, blend: type) -> None:
    recipe = models.recipe(name)
    training_rows = models.training_rows(recipe)
    matrix = to_matrix(training_rows.rows[:60], recipe.signature().inputs, recipe.input_format)
    with threadpool_limits(1):
        estimator = recipe.run_fit(matrix, np.array(training_rows.targets[:60]), Run(*recipe.fields), {})
    assert type(estimator.steps[-1][1]) is blend


def test_the_generated_tables_have_the_sizes_of_those_they_resemble() -> None:
    telco, diamonds = (models.training_rows(models.recipe(name)) for name in ("telco", "diamonds"))
    assert (len(telco.rows), len(telco.rows[0])) == (7_043, 19)
    assert (len(diamonds.rows), len(diamonds.rows[0])) == (20_000, 9)
    assert 0.2 < telco.targets.count("Yes") / len(telco.rows) < 0.35
    assert sum(row[-1] is None for row in telco.rows) == 11


def test_a_row_has_the_ratio_of_both_checkouts_round_by_round() -> None:
    measures = Measures()
    for number, here, there in ((0, 300.0, 100.0), (1, 200.0, 100.0), (2, 400.0, 100.0)):
        measures.add(Measure("loan", pairs.HERE, number, here))
        measures.add(Measure("loan", pairs.THERE, number, there, bad=number))
        measures.add(Measure("loan" + pairs.COST, pairs.HERE, number, 1000.0))
        measures.add(Measure("loan" + pairs.COST, pairs.THERE, number, there * 10))
    (row,) = (row for row in rows.ROWS if row.name == "loan")
    assert pairs.table([row], measures).splitlines()[-2:] == [
        "| loan | rows/s | 300 | 100 | 3.000 (2.000–4.000) | 3 |",
        "| loan, processor | µs | 1,000 | 1,000 | 1.000 (1.000–1.000) | 0 |",
    ]
    assert pairs.line(row, measures, 1) == "loan 200.00 here, 100.00 there: 2.000, processor 1.000"


def test_the_servers_inside_the_request_know_the_same_tables() -> None:
    assert f"TABULAR = {models.TABULAR!r}".replace("'", '"') in (PROJECT / "bench/alternatives/inline.py").read_text()

"""A user's recipe is one file with one decorated function; a broken one is reported and hides no other."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import pytest

from contract.model.manifest import ArtifactFormat
from contract.model.signature import Field, Kind
from tests.trainer.fitting import fitted
from trainer import recipes
from trainer.recipe import RecipeError, Run, Table, recipe
from trainer.recipe_parameters import parameters_of
from trainer.tables.training_rows import to_rows

GOOD = """
from sklearn.linear_model import LinearRegression
from contract.model.signature import Field, Kind
from trainer.recipe import recipe

@recipe(inputs=[Field("x", Kind.NUMBER)], target=Field("y", Kind.NUMBER))
def anything(X, y, *, positive: bool = False):
    return LinearRegression(positive=positive).fit(X, y)
"""


OF_THE_BATCH = """
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from contract.model.signature import Field, Kind
from trainer.recipe import recipe

class Step(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self
    def transform(self, X):
        return X - {what}

@recipe(inputs=[Field("x", Kind.NUMBER)], target=Field("y", Kind.NUMBER), test_size=0.25)
def fit(X, y):
    return make_pipeline(Step(), LinearRegression()).fit(X, y)
"""


def refusal(name: str, folder: Path) -> str:
    with pytest.raises(RecipeError) as refused:
        recipes.get(name, folder)
    return str(refused.value)


@pytest.mark.parametrize(("what", "alone"), [("X.mean()", True), ("1", False)])
def test_a_recipe_whose_step_looks_at_other_rows_makes_versions_that_are_scored_alone(
    tmp_path: Path, what: str, alone: bool
) -> None:
    (tmp_path / "steps.py").write_text(OF_THE_BATCH.format(what=what))
    recipe = recipes.get("steps", tmp_path)
    table = Table("cells", ["x", "y"], [[str(number), str(2 * number)] for number in range(100)])
    _, draft = fitted(recipe, to_rows(recipe, table))
    assert draft.artifact.alone == alone
    assert any("changes with the rows beside it" in warning for warning in draft.warnings) == alone
    assert (draft.metrics["r2"] < 0.9) == alone  # each row by itself is its own mean


def test_a_file_is_a_recipe_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").touch()
    (tmp_path / "_shared.py").write_text("1 / 0")
    (tmp_path / "my-prices_2.py").write_text(GOOD)
    assert recipes.names(tmp_path) == tuple(sorted([*recipes.names(), "my-prices_2"]))
    assert recipes.problems(tmp_path) == []
    recipe = recipes.get("my-prices_2", tmp_path)
    assert (recipe.name, recipe.target) == ("my-prices_2", Field("y", Kind.NUMBER))
    estimator = recipe.run_fit([[1.0], [2.0]], [2.0, 4.0], Run(*recipe.fields), recipe.bind({}))
    assert estimator.predict([[3.0]]) == pytest.approx([6.0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\ny = 1 / 0\n", "RECIPES_DIR/bad.py, line 2 cannot be used: ZeroDivisionError: division by zero"),
        ("def f(:\n", "RECIPES_DIR/bad.py, line 1 cannot be used: SyntaxError: "),
        ("import no_such_thing\n", "RECIPES_DIR/bad.py, line 1 cannot be used: ModuleNotFoundError: "),
        ("raise SystemExit(0)\n", "RECIPES_DIR/bad.py, line 1 cannot be used: SystemExit: 0"),
        ("x = 1\n", "the file of the recipe bad must decorate one function with @recipe(…); it has 0"),
        ("from trainer.recipes.blobs import fit\n", "it has 0"),
        (GOOD + GOOD.replace("anything", "other"), "it has 2"),
        (GOOD.replace("= False", ""), "the parameter positive needs a default"),
        (GOOD.replace("bool = False", "list = ()"), "the parameter positive must be annotated with bool, int"),
        (GOOD.replace(", *, positive: bool = False", ""), None),
        (GOOD.replace("X, y, *, positive: bool = False", "X"), "must take X and y"),
        (GOOD.replace(', target=Field("y", Kind.NUMBER)', ""), "a recipe needs both inputs and target, or neither"),
    ],
)
def test_a_broken_recipe_file_is_reported_and_hides_no_other(tmp_path: Path, text: str, said: str | None) -> None:
    (tmp_path / "bad.py").write_text(text)
    (tmp_path / "good.py").write_text(GOOD)
    assert {"bad", "good"} <= set(recipes.names(tmp_path))
    assert recipes.get("good", tmp_path).name == "good"
    if said is None:
        assert recipes.get("bad", tmp_path).name == "bad"
    else:
        assert said in refusal("bad", tmp_path)


def test_a_repaired_recipe_file_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("1 / 0")
    refusal("bad", tmp_path)
    (tmp_path / "bad.py").write_text(GOOD)
    assert recipes.get("bad", tmp_path).name == "bad"


def test_a_file_named_like_a_built_in_recipe_is_ignored_with_a_message(tmp_path: Path) -> None:
    (tmp_path / "loan.py").write_text(GOOD)
    (tmp_path / "My Prices.py").write_text(GOOD)
    assert recipes.names(tmp_path) == recipes.names()
    assert recipes.get("loan", tmp_path) is recipes.get("loan")
    assert recipes.problems(tmp_path) == [
        "RECIPES_DIR/My Prices.py is not used: name it with small letters, digits, - and _",
        "RECIPES_DIR/loan.py is not used: a recipe of that name is built in; rename the file",
    ]


def test_a_missing_recipes_dir_is_reported(tmp_path: Path) -> None:
    assert "is not a folder" in recipes.problems(tmp_path / "no")[0]
    assert recipes.names(tmp_path / "no") == recipes.names()


def test_an_unknown_recipe_gets_the_list_of_recipes(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(GOOD)
    assert refusal("lone", tmp_path) == (
        "there is no recipe 'lone'; there are blobs, boston, good, iris, loan, sepals, tabular"
    )
    assert "there is no recipe '../good'" in refusal("../good", tmp_path)


def test_code_of_the_recipe_file_goes_into_the_artifact_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(GOOD + "\nclass Own:\n    pass\n\ndef own(): pass\n")
    recipes.get("good", tmp_path)
    module = sys.modules[f"{recipes.OWN}.good"]
    for thing in (module.Own(), [module.own], {"f": lambda: 0}):
        assert recipes.artifact_format(thing) is ArtifactFormat.CLOUDPICKLE
    assert recipes.artifact_format([Path, {"a": 1.0}]) is ArtifactFormat.JOBLIB


@recipe(inputs=(), target=Field("y", Kind.NUMBER))
def sized(
    X: Any,
    y: Any,
    *,
    trees: int = 10,
    rate: float = 0.1,
    depth: int | None = None,
    mode: Literal["slow", "fast"] = "slow",
    exact: bool = True,
    untyped="text",  # type: ignore[no-untyped-def]
) -> Any:
    return trees, rate, depth, mode, exact, untyped


def test_parameters_have_their_defaults_unless_they_are_given() -> None:
    assert sized.run_fit(0, 0, Run(*sized.fields), sized.bind({})) == (10, 0.1, None, "slow", True, "text")
    values = sized.bind({"trees": 3, "rate": 1, "depth": 4, "mode": "fast", "exact": False, "untyped": "x"})
    assert sized.run_fit(0, 0, Run(*sized.fields), values) == (3, 1, 4, "fast", False, "x")
    assert sized.bind({"depth": None})["depth"] is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"trees": "3"}, "'trees' of the recipe test_own_recipes must be a whole number, not '3'"),
        ({"trees": True}, "must be a whole number, not true"),
        ({"trees": 3.5}, "must be a whole number, not 3.5"),
        ({"trees": None}, "must be a whole number, not null"),
        ({"rate": float("nan")}, "must be a number, not nan"),
        ({"depth": []}, "must be a whole number or null, not a list of 0 values"),
        ({"mode": "quick"}, "'mode' of the recipe test_own_recipes must be 'slow' or 'fast', not 'quick'"),
        ({"exact": 1}, "'exact' of the recipe test_own_recipes must be true or false, not 1"),
        ({"untyped": 1}, "'untyped' of the recipe test_own_recipes must be text, not 1"),
        (
            {"tree": 3},
            "'tree' is not a parameter of the recipe test_own_recipes; did you mean 'trees'? It takes: trees, a",
        ),
        ({"X": 3}, "'X' is not a parameter"),
    ],
)
def test_a_parameter_that_is_unknown_or_of_another_type_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as refused:
        sized.bind(values)
    assert said in str(refused.value)


def test_parameters_are_known_without_running_the_recipe(tmp_path: Path) -> None:
    """The gateway gets the parameters of the function itself, or none."""
    built_in = recipes.parameters()
    assert {name: parameters_of(recipes.get(name).fit) for name in recipes.names()} == built_in
    source = (
        "raise SystemExit\n@recipe(target=anything)\ndef fit(X, y, *, trees: int = 10, rate: float = 0.1,"
        " depth: int | None = None, mode: Literal['slow', 'fast'] = 'slow', exact: bool = True, untyped='text'): ..."
    )
    (tmp_path / "own.py").write_text(source)
    (tmp_path / "run.py").write_text("@recipe()\ndef fit(X, y, *, a: int = print('run')): ...\n")
    (tmp_path / "odd.py").write_text("@recipe()\ndef fit(X, y, *, a: __import__('os') = 1, b: float = 1e999): ...\n")
    (tmp_path / "broken.py").write_text("def")
    known = recipes.parameters(tmp_path)
    assert {*known} - {*built_in} == {"own"}
    assert known["own"] == parameters_of(sized.fit)

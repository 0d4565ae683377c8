"""The trainer refuses a schedule whose training could not begin now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract.settings import Settings
from contract.work.training import RepositoryAction, RepositoryCommand, TrainingRequest
from tests.support import PROJECT
from trainer.jobs.commands import HANDLERS, CommandParts
from trainer.recipe import DataError

CHURN = PROJECT / "docs/tutorial/churn.csv"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (data := tmp_path / "data").mkdir()
    (data / "churn.csv").write_bytes(CHURN.read_bytes())
    (data / "empty.csv").write_text("a,b\n")
    (data / "out.csv").symlink_to(CHURN)
    return Settings(data_dir=data)


def check(settings: Settings, model: str = "churn", recipe: str = "tabular", **options: Any) -> dict[str, Any]:
    request = TrainingRequest(model, recipe, **options)
    command = RepositoryCommand(RepositoryAction.CHECK_TRAINING, model, training=request.to_json())
    return HANDLERS[command.action](CommandParts(settings, None), command)  # type: ignore[arg-type]


def test_a_training_that_could_begin_is_not_refused(settings: Settings) -> None:
    assert check(settings, path="churn.csv", target="stays") == {}
    assert check(settings, "points", recipe="blobs") == {}, "it makes its own rows"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"path": "churm.csv", "target": "stays"}, "'churm.csv' does not exist"),
        ({"path": "../churn.csv", "target": "stays"}, "does not exist"),
        ({"path": "out.csv", "target": "stays"}, "outside of its folder"),
        ({"path": "churn.csv", "target": "stay"}, "'stay'"),
        ({"path": "churn.csv", "target": "stays", "features": ["agee"]}, "'agee'"),
        ({"path": "empty.csv", "target": "a"}, "has no rows"),
    ],
)
def test_one_that_could_not_is_refused_with_the_reason(settings: Settings, options: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        check(settings, **options)


def test_a_file_without_the_inputs_of_the_recipe_is_refused(settings: Settings) -> None:
    assert settings.data_dir
    (settings.data_dir / "iris.csv").write_text(
        "SEPAL_LENGTH,sepal_width,petal_length,petal_width,species\n5,3,1,0.2,setosa\n"
    )
    assert check(settings, recipe="iris", path="iris.csv") == {}
    with pytest.raises(DataError, match="'sepal_length'"):
        check(settings, recipe="iris", path="churn.csv")


def test_without_data_dir_only_recipes_with_rows_of_their_own_are_trained(settings: Settings) -> None:
    assert check(replace(settings, data_dir=None), recipe="blobs") == {}
    with pytest.raises(DataError, match="the recipe tabular has no training data"):
        check(replace(settings, data_dir=None), target="stays")
    with pytest.raises(DataError, match="DATA_DIR is not set; set it, or upload the file"):
        check(replace(settings, data_dir=None), path="churn.csv", target="stays")

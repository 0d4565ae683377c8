"""The recipe in the documentation works as written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from contract.model.manifest import ArtifactFormat
from contract.model.repository import Repository
from contract.settings import Settings
from contract.work.training import TrainingRequest
from tests.support import PROJECT
from tests.trainer.conftest import check_without_trainer
from trainer.training.train import train


@pytest.mark.slow
def test_the_recipe_of_the_documentation_is_found_trained_and_served_without_its_file(
    tmp_path: Path, models: Path
) -> None:
    page = (PROJECT / "docs" / "how-to" / "write-a-recipe.md").read_text()
    example = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert example
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "churn.py").write_text(example[1])
    (tmp_path / "churn.csv").symlink_to(PROJECT / "docs" / "tutorial" / "churn.csv")
    settings = Settings(models_dir=models, data_dir=tmp_path, recipes_dir=folder)
    request = TrainingRequest("churn", "churn", parameters={"trees": 20})
    result = train(request, settings, lambda _: None, lambda _: None, lambda *_: None)
    assert result.promoted
    assert result.metrics["accuracy"] > 0.6
    manifest = Repository(models).manifest("churn", 1)
    assert manifest.signature.names == ("months", "monthly_charge", "plan")
    assert manifest.artifact.format is ArtifactFormat.CLOUDPICKLE
    assert manifest.parameters["trees"] == 20
    check_without_trainer(models, "churn@1", tmp_path)

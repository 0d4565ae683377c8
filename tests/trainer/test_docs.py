"""The recipe in the documentation works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import PROJECT
from trainer import recipes
from trainer.data import load
from trainer.train import train_recipe as train


def test_the_recipe_of_the_documentation_is_found_and_trained(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = re.search(r"```python\n(.*?)```", (PROJECT / "docs" / "recipes.md").read_text(), re.DOTALL)
    assert found
    (tmp_path / "churn.py").write_text(found[1])
    monkeypatch.setattr(recipes, "__path__", [*recipes.__path__, str(tmp_path)])
    rows = [f"c{i},{i % 50},{20 + i % 7},{('basic', 'plus')[i % 2]},{int(i % 50 > 20)}" for i in range(200)]
    (tmp_path / "churn.csv").write_text("\n".join(["Customer,Months,Monthly_Charge,Plan,Stays", *rows]))
    assert "churn" in recipes.names()
    recipe = recipes.get("churn")
    manifest = train(recipe, load(recipe, None, tmp_path / "churn.csv"), models)
    assert manifest.metrics["accuracy"] > 0.9
    assert manifest.signature.names == ("months", "monthly_charge", "plan")

"""Exact explanations are those of shap's exact explainer, which was written by others and runs in `.venv-shap`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import joblib
import pytest

from runtime.limits import ONE_THREAD
from tests.scoring.explain import specimens
from tests.scoring.explain.models import specimen, why
from tests.support import PROJECT

pytestmark = pytest.mark.slow
MODELS = specimens.models()


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    python, folder = PROJECT / ".venv-shap/bin/python", tmp_path_factory.mktemp("specimens")
    if not python.exists():
        pytest.skip("run make .venv-shap/shap.stamp")
    for name, model in MODELS.items():
        joblib.dump(model, folder / f"{name}.joblib")
    command = [python, PROJECT / "tests/scoring/explain/shap_values.py", folder]
    printed = subprocess.run(command, check=True, capture_output=True, env={**os.environ, **ONE_THREAD}).stdout
    found: dict[str, Any] = json.loads(printed)
    return found


@pytest.mark.parametrize("name", MODELS)
def test_exact_contributions_are_those_of_shap(models: Path, theirs: dict[str, Any], name: str) -> None:
    model, (background, rows) = specimen(models, name, MODELS[name]), specimens.cases(name)
    labels = model.manifest.signature.output.labels
    for number, row in enumerate(rows):
        ours = why(model, row, background, label=str(labels[-1]) if labels else None, exact=True)
        assert ours["exact"]
        assert list(ours["contributions"].values()) == pytest.approx(theirs[name]["values"][number], rel=0, abs=1e-9)
        assert ours["base"] == pytest.approx(theirs[name]["base"][0], rel=0, abs=1e-9)

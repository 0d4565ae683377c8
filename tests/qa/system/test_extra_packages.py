"""`EXTRA_PACKAGES` in the images of worker and trainer; the stack of these tests has LightGBM."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.qa.system.stack import ROOT, Stack, until

_FIT = """
import json, os, pickle
import numpy as np
from lightgbm import LGBMClassifier
X = np.random.default_rng(0).normal(size=(200, 2))
model = LGBMClassifier(n_estimators=5, verbose=-1).fit(X, X[:, 0] > 0)
with open("/models/inbox/.boosted", "wb") as file:
    pickle.dump(model, file)
os.rename("/models/inbox/.boosted", "/models/inbox/boosted.pkl")
print(json.dumps({"row": X[0].tolist(), "probabilities": model.predict_proba(X[:1])[0].tolist()}))
"""


def test_a_model_of_an_extra_package_is_served(stack: Stack) -> None:
    (trainer,) = stack.containers("trainer")
    fitted = json.loads(stack.execute(trainer["Id"], "python", "-c", _FIT))
    until(lambda: stack.get("/v1/models/boosted").status_code == 200)
    try:
        output = stack.prediction("boosted", [fitted["row"]])
        assert list(output["probabilities"][0].values()) == fitted["probabilities"]
    finally:  # other tests share the stack
        stack.execute(trainer["Id"], "rm", "-r", "/models/boosted")
    until(lambda: stack.get("/v1/models/boosted").status_code == 404)


@pytest.mark.parametrize("service", ["worker", "trainer"])
def test_extra_packages_leave_the_versions_of_the_lock(stack: Stack, service: str) -> None:
    (container,) = stack.containers(service)
    wanted = dict(re.findall(r"^(numpy|scipy|scikit-learn)==([\d.]+)", _lock(service).read_text(), re.MULTILINE))
    code = f"from importlib.metadata import version; print(*map(version, {list(wanted)}))"
    assert stack.execute(container["Id"], "python", "-c", code).split() == list(wanted.values())


def _lock(service: str) -> Path:
    return ROOT / "requirements" / f"{service}.txt"

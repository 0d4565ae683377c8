"""`python shap_values.py FOLDER`, in `.venv-shap`: prints what shap's exact explainer finds for each of the specimens
in FOLDER."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[3]))

import shap

from tests.scoring.explain.specimens import answers, cases


def main(folder: Path) -> None:
    found: dict[str, Any] = {}
    for file in sorted(folder.glob("*.joblib")):
        name, model = file.stem, joblib.load(file)
        background, rows = cases(name)
        # shap compares values as numbers, with a tolerance: it gets their places in each column.
        columns = [list(dict.fromkeys(values)) for values in zip(*background, *rows, strict=True)]
        masker = shap.maskers.Independent(_places(background, columns), max_samples=len(background))

        def answer(places: Any, columns: Any = columns, name: str = name, model: Any = model) -> Any:
            table = [[values[int(at)] for values, at in zip(columns, row, strict=True)] for row in places]
            return answers(name, model, table)

        values = shap.explainers.ExactExplainer(answer, masker)(_places(rows, columns))
        found[name] = {"values": values.values.tolist(), "base": np.ravel(values.base_values).tolist()}
    sys.stdout.write(json.dumps(found))


def _places(table: list[list[Any]], columns: list[list[Any]]) -> Any:
    return np.array([[known.index(value) for known, value in zip(columns, row, strict=True)] for row in table], float)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

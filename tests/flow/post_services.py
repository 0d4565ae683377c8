"""The services of five blog posts, rebuilt from what their published sources do, on the models of our recipes.

Behaviour only: which requests each one answers, with what status, media type and body, and which ones crash it. The
models come from the artifacts that Modelgate serves, so both give the same numbers. Where pandas has changed since, the
rebuilt service does what the pandas of the post's time did: texts are read with `StringIO`, unknown columns are filled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from flask import Flask, Response, abort, jsonify, request
from werkzeug.exceptions import HTTPException

from contract.model.manifest import ArtifactFormat
from scoring.artifacts import unpack

LOAN_CODES = {
    "Gender": {"Female": 0, "Male": 1},
    "Married": {"No": 0, "Yes": 1},
    "Dependents": {"0": 0, "1": 1, "2": 2, "3+": 3},
    "Education": {"Graduate": 0, "Not Graduate": 1},
    "Self_Employed": {"No": 0, "Yes": 1},
    "Property_Area": {"Rural": 0, "Urban": 1, "Semiurban": 2},
}
LOAN_FILLED = ("Gender", "Married", "Self_Employed", "LoanAmount", "Loan_Amount_Term", "Credit_History")
"""What the post fills where it is null; that it fills Dependents, too, has no effect."""
HOME = ("crim", "zn", "indus", "chas", "nox", "rm", "age", "dis", "rad", "tax", "ptratio", "b", "lstat")


def trained(models: Path, name: str) -> Any:
    """Return the estimator of the first version of a model in a repository."""
    folder = models / name / "versions" / "1"
    artifact = json.loads((folder / "manifest.json").read_text())["artifact"]
    return unpack((folder / artifact["file"]).read_bytes(), ArtifactFormat(artifact["format"]))


def blobs(model: Any) -> Flask:
    """Post 000: two numbers in the path. Errors are JSON, as the third post of that series has it."""
    app = Flask("blobs")

    @app.errorhandler(HTTPException)
    def as_json(error: HTTPException) -> tuple[Response, int]:
        return jsonify(error=error.name, description=error.description), error.code or 500

    @app.get("/predict/feature_1/<first>/feature_2/<second>")
    def predict(first: str, second: str) -> Response:
        try:
            point = [[float(first), float(second)]]
        except ValueError:
            abort(400, "both features have to be numbers")
        return jsonify(
            {"class": int(model.predict(point)[0]), "probabilities": [float(p) for p in model.predict_proba(point)[0]]}
        )

    return app


def loan(model: Any) -> Flask:
    """Post 001: pandas' records in a JSON text. Every 400 is an object with a status and a message."""
    app = Flask("loan")
    features, forest = model

    @app.errorhandler(400)
    def bad_request(error: Exception | None = None) -> tuple[Response, int]:
        return jsonify(status=400, message=f"Bad request: {request.url}"), 400

    @app.post("/loan/predict")
    def predict() -> Response | tuple[Response, int]:
        table = pd.read_json(StringIO(request.get_json()), orient="records")
        table["Dependents"] = [str(number) for number in table["Dependents"]]
        ids = table["Loan_ID"]
        if table.empty:
            return bad_request()
        filled = table[[*features.fill_]].astype(object).fillna({name: features.fill_[name] for name in LOAN_FILLED})
        answers = forest.predict(_as_numbers(filled))
        named = pd.DataFrame(list(zip(ids, answers.tolist(), strict=True)))
        return jsonify(predictions=named.to_json(orient="records"))

    return app


def _as_numbers(table: pd.DataFrame) -> Any:
    """Return the applications as numbers. The post replaces the words that it knows, and its scikit-learn refuses NaN,
    and texts that are no numbers."""
    columns = [[LOAN_CODES.get(str(name), {}).get(value, value) for value in table[name]] for name in table]
    with np.errstate(over="ignore"):
        numbers = np.array(columns, dtype=object).T.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise ValueError("Input contains NaN, infinity or a value too large")
    return numbers


def iris(model: Any) -> Flask:
    """Post 002: an object of four measures, of which the order counts and not the names. The answer has the name that
    the post shows its readers (`target_value`); its listing writes it with a blank."""
    app = Flask("iris")

    @app.post("/iris/predict")
    def predict() -> Response:
        flower = pd.DataFrame(request.json, index=[0])
        return jsonify(target_value=model.predict(flower.to_numpy()).tolist()[0])

    return app


def boston(model: Any) -> Flask:
    """Post 003: an object in a JSON text. Missing inputs and nulls are 0, others are dropped; the answer is a text."""
    app = Flask("boston")

    @app.post("/mass")
    def predict() -> str:
        home = pd.read_json(StringIO(request.get_json()), typ="series").to_frame().T.reindex(columns=list(HOME))
        values = home.astype(object).fillna(0).astype(float).to_numpy()
        return f"{model.predict(values.reshape(1, -1))[0]:0.2f}"

    return app


def sepals(model: Any) -> Flask:
    """Post 004: X1 and X2, also as texts; 404 without one of them."""
    app = Flask("sepals")

    @app.post("/sepals/predict")
    def predict() -> Response:
        sent: Any = request.json
        if not sent or "X1" not in sent or "X2" not in sent:
            abort(404)
        row = np.array([np.float64(sent["X1"]), np.float64(sent["X2"])]).reshape(1, 2)
        return jsonify(prediction=int(model.predict(row)[0]))

    return app


SERVICES: Mapping[str, Callable[[Any], Flask]] = {
    "blobs": blobs,
    "loan": loan,
    "iris": iris,
    "boston": boston,
    "sepals": sepals,
}
"""The services by the name of their model."""

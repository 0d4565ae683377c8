"""Scores the rows of one job with a model from the cache."""

from __future__ import annotations

import time
from typing import Any

from contract.jobs import PredictionOutcome
from scoring.predict import predict
from worker.model_cache import ModelCache


class Scorer:
    def __init__(self, cache: ModelCache) -> None:
        self._cache = cache

    def predict(self, payload: dict[str, Any]) -> dict[str, object]:
        """What RQ calls for a prediction job: `{"model", "version", "rows"}` → a `PredictionOutcome` as JSON.

        Raises `ModelgateError`.
        """
        model = self._cache.get(payload["model"], payload["version"])
        began = time.perf_counter()
        prediction = predict(model.estimator, model.manifest, payload["rows"])
        return PredictionOutcome(
            predictions=prediction.values,
            probabilities=prediction.probabilities,
            warnings=prediction.warnings,
            predict_ms=round((time.perf_counter() - began) * 1000, 3),
            batch_rows=len(payload["rows"]),
        ).to_json()

"""Predictions for protocols without jobs: the answer to the request is the result, or an error."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from broker.sides.gateway.receipts import Receipts
from contract.model.manifest import ModelManifest
from contract.model.signature import PREDICT
from contract.rows.instances import Instances
from contract.work.explanations import ExplainRequest
from contract.work.jobs import Job
from gateway.http.answers import PredictionAnswer, quota_headers
from gateway.http.clients import hung_up, request_context
from gateway.http.exchange import caller, current, note_explained, noted
from gateway.http.operations import KEPT
from gateway.problems import Problem, ProblemCode
from gateway.serving.predicting import PredictionOptions, Predictor

PROBLEMS = (
    "400 invalid_parameter",
    *("404 no_current_version", "404 unknown_method", "413 too_many_rows"),
    *("415 unsupported_media_type", "415 unsupported_content_encoding"),
    *("422 invalid_instances", "422 model_error", "422 out_of_memory", "422 worker_crashed"),
    "422 timed_out_twice",
    "503 environment_not_served",
    *("429 rate_limit", "429 rows_waiting_limit", "429 jobs_in_flight_limit"),
    *("503 artifact_corrupt", "503 artifact_missing", "503 canceled", "503 job_refused", "503 manifest_invalid"),
    *("503 model_not_found", "503 not_trusted", "503 version_mismatch"),
    *("503 queue_full", "503 overloaded", "503 redis_disk_slow", *KEPT, "504 not_in_time", "504 timeout"),
)
"""The problems of a prediction whose answer is the result."""


@dataclass(frozen=True)
class SynchronousPredictions:
    """Waits up to `max_wait` seconds for each job, and cancels those that take longer. `receipts` notes which results
    clients have seen."""

    predictor: Predictor
    max_wait: int
    receipts: Receipts

    def model(self, reference: str) -> ModelManifest:
        """Return the version behind `loan`, `loan@3` or `loan@canary`. Raises as `Predictor.model`."""
        return noted(self.predictor.model(reference), reference)

    def explained_model(self, reference: str) -> ModelManifest:
        """Return the version whose answers are to be explained. Raises as `Predictor.model`."""
        model = self.predictor.model(reference)
        note_explained(model)  # metrics of the model count predictions
        return model

    def only_model(self) -> ModelManifest:
        """Return the version of the only model that the caller may use. Raises `Problem` if there are none or
        several."""
        names = self.predictor.repository.names()
        if len(names) == 1:
            return self.model(names[0])
        if not names:
            raise Problem(ProblemCode.UNKNOWN_MODEL, "there are no models yet", models=[])
        detail = "this address is for the only model, and there are several: send to /v1/models/NAME/invocations"
        raise Problem(ProblemCode.SEVERAL_MODELS, detail)

    def check_rows(self, count: int) -> None:
        """Raise `Problem` for more rows than may wait, before they are made."""
        self.predictor.check_size(count, caller())

    def predict(
        self,
        model: ModelManifest,
        rows: Instances,
        size: int,
        method: str = PREDICT.name,
        explain: ExplainRequest | None = None,
    ) -> Job:
        """Return the job of the rows once it has succeeded. `size`: bytes of the request. `explain`: what is to be
        explained, instead of asking a method.

        Raises as `Predictor.predict` and `Predictor.succeeded`.
        """
        options = PredictionOptions(method, wait=self.max_wait, explain=explain)
        job = self.predictor.predict(model, rows, size, options, request_context())
        exchange = current()
        exchange.job_id, exchange.version = job.id, job.version
        return self.predictor.succeeded(job, self.max_wait, repeatable=bool(exchange.idempotency))

    def answer(self, job: Job, body: bytes, headers: Mapping[str, str], status: int = 200) -> PredictionAnswer:
        """Return the answer with what the protocol has written of the job."""
        exchange = current()
        headers = {**headers, **quota_headers(exchange.quota)} if exchange.quota else headers
        note = self.receipts.fetched if exchange.idempotency else self.receipts.delivered
        return PredictionAnswer(body, headers, functools.partial(note, job.id), hung_up(), status)


def received_body() -> bytes:
    """Return the whole body of the current request. Raises `Problem` (413, 415)."""
    body: bytes = current().environ["wsgi.input"].read()
    return body

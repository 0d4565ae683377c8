"""Errors for a key with `detail: terse`, compared with those for a key with `full`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from werkzeug.test import TestResponse

from broker.sides.scorer import BatchLimits, ScorerQueue
from broker.sides.supervisor import Leases
from contract.errors import Code, Failure
from contract.model.manifest import InputFormat, TrainingData
from contract.model.signature import Field, Kind, Output, OutputKind, RowFormat, Signature
from contract.settings import Settings
from contract.work.api_keys import Detail, Key, Scope
from contract.work.jobs import Job, PredictionOutcome, Status
from gateway.app import create_app
from gateway.problems.codes import ProblemCode
from gateway.problems.terse import EXPECTED, GENERAL_MESSAGES, HARMLESS_CODES, TERSE_SENTENCES, terse_job
from tests.gateway.callers import ADMIN_KEY, Caller
from tests.gateway.conftest import scorer
from tests.support import PROJECT, Sum, numbers, write_version

FULL = Key("full", "full", "risk", frozenset({Scope.PREDICT, Scope.PUBLISH, Scope.READ}))
INPUTS = (
    Field("salary", Kind.NUMBER, aliases=("Pay",)),
    Field("children", Kind.INTEGER),
    Field("tier", Kind.STRING, categories=("gold", "silver")),
    Field("married", Kind.BOOLEAN),
    Field("hired", Kind.DATETIME),
    Field("motto", Kind.STRING),
)
GOOD = {"salary": 1.5, "children": 2, "tier": "gold", "married": True, "hired": "2024-05-17", "motto": "x"}
SECRETS = {"Pay", "silver", "ledger", "badge", "hidden", "words", *GOOD, "gold"}
"""Names of fields, categories and models."""
RECORDS = Signature((Field("city", Kind.STRING), Field("visits", Kind.NUMBER)), (Output(OutputKind.CLASS),))


@pytest.fixture
def callers(settings: Settings, models: Path, redis: Redis) -> tuple[Caller, Caller]:
    """A caller that gets full errors, and one that gets terse errors."""
    write_version(models, "ledger", Sum(), INPUTS, id_field="badge", example=GOOD)
    write_version(models, "hidden", Sum(), INPUTS, example=GOOD)
    for name, row_format, takes in (
        ("words", RowFormat.TEXTS, InputFormat.TEXTS),
        ("records", RowFormat.RECORDS, InputFormat.RECORDS),
    ):
        inputs = (Field("words", Kind.STRING),) if name == "words" else RECORDS.inputs
        signature = Signature(inputs, RECORDS.outputs, format=row_format)
        write_version(models, name, Sum(), inputs, input_format=takes, signature=signature, example={})
    client = create_app(replace(settings, admin_key=ADMIN_KEY, max_queue_rows=2000)).test_client()
    keys = FULL, replace(FULL, id="terse", detail=Detail.TERSE)
    full, terse = (Caller.with_key(client, redis, key) for key in keys)
    return full, terse


@dataclass(frozen=True)
class Case:
    """Rows with an error of the code, and the field of it as the client has sent it."""

    code: str
    body: Any
    field: str | None = None
    model: str = "ledger"
    csv: bool = False

    def sent(self, caller: Caller) -> TestResponse:
        path = f"/v1/models/{self.model}/predict"
        if self.csv:
            return caller("POST", path, data=self.body, content_type="text/csv")
        return caller("POST", path, json=self.body)


def changed(**changes: Any) -> list[Mapping[str, Any]]:
    return [GOOD, {**GOOD, **changes}]


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


CASES = [
    Case("missing_field", [without("tier")]),
    Case("missing_field", [{**without("tier"), "teir": "gold"}]),
    Case("missing_field", [{}]),
    Case("missing_field", "salary,children\n1,2\n", csv=True),
    Case("no_header", "1,2,bronze,true,2024-05-17,x\n1,2,bronze,true,2024-05-17,x\n", csv=True),
    Case("not_instances", {"data": 7}),
    Case("ambiguous_body", {"rows": [GOOD], "more": [GOOD]}),
    Case("repeated_field", [{**GOOD, "Pay": 3}], "Pay"),
    Case("not_a_number", changed(salary="low"), "salary"),
    Case("not_a_number", [{**without("salary"), "Pay": "low"}], "Pay"),
    Case("not_a_number", [["low", *list(GOOD.values())[1:]]]),
    Case("not_a_number", {"columns": {**{name: [value] for name, value in GOOD.items()}, "salary": ["low"]}}, "salary"),
    Case("not_a_number", "PAY,children,tier,married,hired,motto\nlow,1,gold,true,2024-05-17,x\n", "PAY", csv=True),
    Case("not_an_integer", changed(children=1.5), "children"),
    Case("out_of_range", changed(children=2**63), "children"),
    Case("not_a_string", changed(motto=[1]), "motto"),
    Case("unknown_category", changed(tier="bronze"), "tier"),
    Case("unknown_category", changed(tier="silvr"), "tier"),
    Case("unknown_category", [[1.5, 2, "silvr", True, "2024-05-17", "x"]]),
    Case("not_a_boolean", changed(married="perhaps"), "married"),
    Case("not_a_datetime", changed(hired="in May"), "hired"),
    Case("null_not_allowed", changed(salary=None), "salary"),
    Case("null_not_allowed", [["a"], [None]], model="words"),
    Case("null_not_allowed", 'remark\n"a"\n""\n', "remark", model="words", csv=True),
    Case("not_an_id", changed(badge=[1]), "badge"),
    Case("not_a_value", [{"city": "Rome", "rank": {}}], "rank", model="records"),
    Case("not_a_number", [{"visits": "many"}], "visits", model="records"),
    Case("wrong_length", [[1, 2]]),
    Case("wrong_length", {"columns": {"salary": [1], "children": [1, 2]}}),
    Case("not_a_row", [GOOD, 7]),
    Case("no_rows", []),
    Case("not_instances", {"instances": 7}),
    Case("wrong_index", {"salary": {"0": 1}, "children": {"1": 1}}),
    Case("ambiguous_body", {"instances": [GOOD], "inputs": [GOOD]}),
    Case("too_many_names", [{f"n{number}": 1 for number in range(10_001)}]),
    Case("too_many_layouts", [{f"n{number}": 1} for number in range(1001)]),
]


def revealed(answer: TestResponse, case: Case) -> set[str]:
    """The names of the model in an answer, without those that the client has sent."""
    words = set(re.findall(r"\w+", answer.text))
    return words & SECRETS - set(re.findall(r"\w+", json.dumps(case.body)))


@pytest.mark.parametrize("case", CASES, ids=[f"{case.code}-{number}" for number, case in enumerate(CASES)])
def test_a_terse_error_names_only_what_the_client_has_sent(case: Case, callers: tuple[Caller, Caller]) -> None:
    full, terse = map(case.sent, callers)
    assert full.status_code == terse.status_code == 422, full.text
    errors = terse.json["errors"]
    assert {error["code"] for error in errors} == {error["code"] for error in full.json["errors"]} == {case.code}
    assert {error["row"] for error in errors} == {error["row"] for error in full.json["errors"]}
    assert {error["field"] for error in errors} == {case.field}
    assert revealed(terse, case) == set()
    assert case.field is None or all(repr(case.field) in error["message"] for error in errors)


def test_full_errors_do_name_the_fields_and_categories(callers: tuple[Caller, Caller]) -> None:
    full, _ = callers
    names = {name for case in CASES for name in revealed(case.sent(full), case)}
    assert names >= {*GOOD, "silver", "words"}


def test_a_terse_error_does_not_reveal_how_many_inputs_are_missing(callers: tuple[Caller, Caller]) -> None:
    _, terse = callers
    single, all_six = (terse("POST", "/v1/models/ledger/predict", json=[row]).text for row in (without("tier"), {}))
    assert single == all_six


def test_every_code_of_an_error_in_rows_is_compared() -> None:
    modules = ("coercion", "instances", "record_rows", "row_plan", "values")
    sources = [f"contract/rows/{module}.py" for module in modules]
    sources += ["gateway/protocols/native.py", "gateway/protocols/csv_rows.py"]
    text = "".join((PROJECT / source).read_text() for source in sources)
    raised = set(re.findall(r'(?:Refusal\(|_refuse\(|FieldError\([^)"]*)"(\w+)"', text))
    assert {case.code for case in CASES} == raised == HARMLESS_CODES | GENERAL_MESSAGES.keys() | EXPECTED.keys()


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/v1/models/ledge", "unknown_model"),
        ("POST", "/v1/models/hiden/predict", "unknown_model"),
        ("POST", "/v1/models/ledger@canary/predict", "unknown_model"),
        ("GET", "/v1/models/ledger/versions/7", "unknown_model"),
        ("POST", "/v1/models/ledger/transform", "unknown_method"),
        ("GET", "/v1/models/ledger/versions/1/report", "no_report"),
    ],
)
def test_a_terse_problem_lists_nothing(method: str, path: str, code: str, callers: tuple[Caller, Caller]) -> None:
    full, terse = (caller(method, path, json=[GOOD]) for caller in callers)
    assert full.status_code == terse.status_code == 404
    assert full.json["code"] == terse.json["code"] == code
    assert set(terse.json) == {"type", "code", "title", "status", "detail"} < set(full.json)
    assert not re.search(r"\d|ledger|hidden|predict", terse.json["detail"])


def test_a_version_that_cannot_be_used_is_not_described(callers: tuple[Caller, Caller], models: Path) -> None:
    (models / "hidden" / "versions" / "1" / "manifest.json").write_text('{"salary": 1}')
    full, terse = (caller("POST", "/v1/models/hidden/predict", json=[GOOD]) for caller in callers)
    assert (full.status_code, terse.status_code) == (503, 503)
    assert full.json["details"]["version"] == 1 and "details" not in terse.json
    assert terse.json["detail"] == "the version cannot be used: its manifest is invalid"


OF_THE_GATEWAY = {
    ProblemCode.BODY_TOO_LARGE,
    ProblemCode.BODY_TOO_SLOW,
    ProblemCode.CANCELED,
    ProblemCode.EXPIRED_KEY,
    ProblemCode.FOREIGN_FORM,
    ProblemCode.FOREIGN_HOST,
    ProblemCode.FOREIGN_ORIGIN,
    ProblemCode.FORM_TOO_LARGE,
    ProblemCode.HEAD_TOO_SLOW,
    ProblemCode.IDEMPOTENCY_KEY_REUSED,
    ProblemCode.INTERNAL_ERROR,
    ProblemCode.INVALID_BODY,
    ProblemCode.INVALID_KEY,
    ProblemCode.JOB_GONE,
    ProblemCode.LENGTH_REQUIRED,
    ProblemCode.MALFORMED_REQUEST,
    ProblemCode.METHOD_NOT_ALLOWED,
    ProblemCode.MISSING_KEY,
    ProblemCode.NOT_FOUND,
    ProblemCode.NOT_READY,
    ProblemCode.NOT_UNLOADED,
    ProblemCode.NO_LEVEL,
    ProblemCode.REDIS_DENIED,
    ProblemCode.REDIS_DISK_FULL,
    ProblemCode.REDIS_DISK_SLOW,
    ProblemCode.REDIS_LOADING,
    ProblemCode.REDIS_READ_ONLY,
    ProblemCode.REDIS_UNAVAILABLE,
    ProblemCode.REPEATED_FIELD,
    ProblemCode.REQUESTED_RANGE_NOT_SATISFIABLE,
    ProblemCode.REQUEST_IN_FLIGHT,
    ProblemCode.SIGNED_OUT,
    ProblemCode.STOPPING,
    ProblemCode.TOO_FEW_REPLICAS,
    ProblemCode.TOO_MANY_ATTEMPTS,
    ProblemCode.UNSUPPORTED_CONTENT_ENCODING,
    ProblemCode.UNSUPPORTED_MEDIA_TYPE,
    ProblemCode.UNSUPPORTED_TRANSFER_ENCODING,
    ProblemCode.UPLOADS_OFF,
}
"""Problems of requests of which no model knows yet, and of Redis."""


def test_every_problem_is_harmless_or_has_a_terse_sentence() -> None:
    silent = {
        *{
            ProblemCode.INVALID_NAME,
            ProblemCode.INVALID_PARAMETER,
            ProblemCode.MALFORMED_BODY,
            ProblemCode.MISSING_SCOPE,
        },
        *{
            ProblemCode.NO_LOG,
            ProblemCode.NO_SCHEDULE,
            ProblemCode.NO_TRAINER,
            ProblemCode.OTHERS_SCHEDULE,
            ProblemCode.OVERLOADED,
        },
        *{
            ProblemCode.QUEUE_FULL,
            ProblemCode.REDIS_FULL,
            ProblemCode.SPOOL_FULL,
            ProblemCode.TOO_MANY_ROWS,
            ProblemCode.TOO_MANY_SCHEDULES,
        },
        *{ProblemCode.NO_OUTPUT, ProblemCode.NOT_ACCEPTABLE, ProblemCode.NOT_FINISHED},
        *{Code.INVALID_FILE, Code.SPOOL_FAILED},
        *{ProblemCode.TOO_MANY_STREAMS, ProblemCode.NO_WORKER, ProblemCode.NOT_IN_TIME, ProblemCode.SEVERAL_MODELS},
        *{ProblemCode.UNKNOWN_JOB, ProblemCode.UPLOAD_TOO_LARGE, ProblemCode.NO_WEBHOOKS},
        # Those who may publish set webhooks, of their own.
        *{ProblemCode.INVALID_WEBHOOK, ProblemCode.TOO_MANY_WEBHOOKS, ProblemCode.UNKNOWN_WEBHOOK},
        *{reason for reason in ProblemCode if reason.endswith("_limit")},
        # Only admins get these.
        *{
            ProblemCode.INVALID_KEY_REQUEST,
            ProblemCode.KEY_EXPIRED,
            ProblemCode.LAST_ADMIN,
            ProblemCode.NAME_TAKEN,
            ProblemCode.NO_MARKER,
            ProblemCode.TOO_MANY_KEYS,
        },
        *{ProblemCode.UNKNOWN_KEY, ProblemCode.UNKNOWN_USER},
        # They say nothing of a model but its name, which the caller has sent.
        *{ProblemCode.NO_OBSERVER, ProblemCode.TOO_MANY_QUESTIONS, Code.OBSERVER_CRASHED, Code.OBSERVER_FAILED},
        # Every caller who may train knows what a training request or a scheduled prediction may contain.
        *{ProblemCode.INVALID_SCHEDULE},
        *{ProblemCode.INVALID_TRAINING, Code.TRAINING_FAILED, Code.TRAINER_CRASHED, Code.NO_DATA},
        # Answers to a command stay full, even with a code that is terse elsewhere.
        *{Code.ALIAS_NOT_FOUND, Code.NOT_LOADED, Code.NOT_PUBLISHED, Code.NOT_SIGNED, Code.VERSION_IN_USE},
        *{Code.ALIAS_MOVED, Code.MODEL_EXISTS, Code.MODELS_FULL, Code.STORE_AWAY},
        *{Code.CURRENT_REQUIRED, Code.INVALID_ALIAS, Code.JOB_REFUSED, Code.NO_PREVIOUS, Code.OUT_OF_MEMORY},
        *{Code.TIMEOUT, Code.WORKER_CRASHED},
        *{Code.APPROVAL_REQUIRED, Code.NOT_PROTECTED, Code.PROMOTION_NOT_FOUND, Code.SECOND_PERSON_NEEDED},
        *{Code.EXPERIMENT_NOT_FOUND, Code.EXPERIMENT_REFUSED, Code.EXPERIMENT_RUNS},
    }
    assert TERSE_SENTENCES.keys() == {*ProblemCode, *Code} - silent - OF_THE_GATEWAY


def test_the_failure_of_a_prediction_is_terse_and_that_of_a_training_is_not() -> None:
    failure = Failure(Code.MODEL_ERROR, "raised ValueError: unknown categories in column 'tier'", {"version": 3})
    job = Job("a", Status.FAILED, "ledger", 3, None, error=failure)
    assert terse_job(job).error == Failure(Code.MODEL_ERROR, "the model cannot answer these rows")
    training = replace(job, kind="training")
    assert terse_job(training) is training
    succeeded = replace(job, error=None)
    assert terse_job(succeeded) is succeeded


LENIENT = {"Prefer": "handling=lenient, wait=30"}


def test_the_errors_of_a_lenient_request_are_terse(callers: tuple[Caller, Caller], scoring: None) -> None:
    rows = [{"a": 1, "b": 2}, {"a": "x", "b": 2}, {"a": 1}]
    full, terse = (caller("POST", "/v1/models/sum/predict", json=rows, headers=LENIENT).json for caller in callers)
    assert full["output"]["predictions"] == terse["output"]["predictions"] == [3.0, None, None]
    assert [error["field"] for error in full["output"]["errors"]] == ["a", "b"]
    assert [(error["field"], error["message"]) for error in terse["output"]["errors"]] == [
        ("a", "'a' must be a finite number"),
        (None, "inputs of the model are missing"),
    ]


def test_a_caller_who_guesses_the_target_does_not_learn_it(
    callers: tuple[Caller, Caller], models: Path, scoring: None
) -> None:
    data = TrainingData("loan.csv", 3, "", target="paid")
    write_version(models, "loan", Sum(), numbers("a"), training_data=data)
    row, wait = {"a": 1, "paid": 0}, {"Prefer": "wait=30"}
    full, terse = (caller("POST", "/v1/models/loan/predict", json=row, headers=wait).json for caller in callers)
    assert "'paid' is the target" in full["warnings"][0]
    assert terse["warnings"] == ["ignored columns that are not inputs of the model: 'paid'"]


def test_a_terse_key_is_not_warned_of_rows_that_training_has_not_seen(
    callers: tuple[Caller, Caller], redis: Redis
) -> None:
    unusual = "'a' is far from what training saw: it is 1, and training saw 4.3 to 7.9"
    headers, answers = {"Prefer": "wait=30"}, []
    with scorer(redis, lambda job: PredictionOutcome([3.0], None, [unusual], 0.5, 1)):
        for caller in callers:
            job = caller("POST", "/v1/models/sum/predict", json=[[1, 2]], headers=headers).json
            again = caller("GET", f"/v1/jobs/{job['id']}").json
            answers.append((job["warnings"], again["warnings"]))
    assert answers == [([unusual], [unusual]), ([], [])]


def test_the_failure_of_a_job_is_terse_in_every_answer_about_it(callers: tuple[Caller, Caller], redis: Redis) -> None:
    full, terse = callers
    leases, queue = Leases(redis, lease=60), ScorerQueue(redis, "w-0-test")
    leases.register("w-0-test")
    path = terse("POST", "/v1/models/sum/predict", json={"a": 1, "b": 2}).headers["Location"]
    batch = queue.take(BatchLimits())
    assert batch is not None
    queue.finish({job.id: Failure(Code.MODEL_ERROR, "raised KeyError: 'salary'") for job in batch.jobs})
    assert full("GET", path).json["error"]["message"] == "raised KeyError: 'salary'"
    (listed,) = terse("GET", "/v1/jobs").json["items"]
    for answer in (terse("GET", path).json, terse("GET", f"{path}?wait=1").json, listed):
        assert answer["error"]["code"] == "model_error"
        assert answer["error"]["message"] == "the model cannot answer these rows"

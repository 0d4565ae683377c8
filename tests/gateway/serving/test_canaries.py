"""In a canary some callers get the candidate, the same ones in each protocol; a shadow marks logged jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.sides.scorer import BatchJob, BatchLimits, ScorerQueue
from broker.sides.supervisor import Leases
from contract.model import signature as signatures
from contract.model.experiments import Ending, Experiment, ExperimentKind, ExperimentPlan
from contract.model.model_settings import LOGGING
from contract.model.signature import AnswerForm, Field, Kind, Method, Output, OutputKind, Signature
from contract.settings import Settings
from contract.work.jobs import PredictionOutcome
from gateway.app import create_app
from runtime.logs import ACCESS
from storage.models.repository_writer import RepositoryWriter
from storage.models.states import ModelState
from tests.gateway.log_lines import recorded
from tests.support import Sum, numbers, write_version
from trainer.publishing.experiment_states import end, put

PREDICT = "/v1/models/sum/predict"
ROUTES = """
[[routes]]
method = "POST"
path = "/mass"
model = "sum"
answer = "{prediction:.1f}"

[[routes]]
method = "GET"
path = "/mass/<a>/<b>"
model = "sum"
answer = "{prediction:.1f}"
"""
ROW = {"a": 1, "b": 2}
INPUTS = [Field("a", Kind.NUMBER, aliases=("A",)), Field("b", Kind.NUMBER)]
START = "2026-01-01T00:00:00.000000Z"
HALF = Experiment(
    "x1", 1, 2, ExperimentPlan(ExperimentKind.CANARY, share=0.5), START, "2999-01-01T00:00:00.000000Z", 0.5, START
)
TAKEN = next(f"c{number}" for number in range(100) if HALF.takes(f"c{number}"))
LEFT = next(f"c{number}" for number in range(100) if not HALF.takes(f"c{number}"))
WAIT = {"Prefer": "wait=30"}
Run = Callable[[Experiment], None]

pytestmark = [pytest.mark.waits, pytest.mark.usefixtures("scored")]


@pytest.fixture
def scored(redis: Redis) -> Iterator[dict[str, BatchJob]]:
    """Finishes every job as a scorer would: each row is answered with a hundred times the version. Yields the jobs."""
    leases, queue, stop = Leases(redis, lease=60), ScorerQueue(redis, "w-0-test"), threading.Event()
    leases.register("w-0-test")
    jobs: dict[str, BatchJob] = {}

    def score() -> None:
        while not stop.is_set():
            if (batch := queue.take(BatchLimits())) is None:
                queue.wait_for_work(BatchLimits())
                continue
            jobs.update({job.id: job for job in batch.jobs})
            value = 100.0 * batch.version
            queue.finish({job.id: PredictionOutcome([value] * len(job.rows), None, [], 0.5, 1) for job in batch.jobs})

    thread = threading.Thread(target=score)
    thread.start()
    yield jobs
    stop.set()
    redis.rpush("mg:bell", "")  # it waits no longer
    thread.join()


@pytest.fixture
def run(settings: Settings) -> Run:
    """Runs an experiment of `sum`, which has a second version, and logs all requests."""
    write_version(settings.models_dir, "sum", Sum(), INPUTS, version=2, current=False, id_field="key")
    return lambda experiment: edit(settings.models_dir, lambda state: began(state, experiment))


def began(state: ModelState, experiment: Experiment) -> None:
    put(state, experiment)
    state.settings[LOGGING] = {"share": 1}


def edit(models: Path, change: Callable[[ModelState], object]) -> None:
    RepositoryWriter(models).change("sum", change)


def version(client: FlaskClient, row: dict[str, Any] | list[Any], path: str = PREDICT, **headers: str) -> int:
    """Return the version that has answered a row."""
    answer = client.post(path, json=row, headers={**WAIT, **headers}).get_json()
    assert answer["status"] == "succeeded"
    return int(answer["model"]["version"])


def test_the_key_in_the_header_or_the_id_of_the_rows_decides(client: FlaskClient, run: Run) -> None:
    run(HALF)
    assert version(client, ROW, **{"Experiment-Key": TAKEN}) == 2
    assert version(client, ROW, **{"Experiment-Key": LEFT}) == 1
    assert version(client, {**ROW, "key": TAKEN}) == 2
    assert version(client, {**ROW, "key": TAKEN}, **{"Experiment-Key": LEFT}) == 1
    assert version(client, [{**ROW, "key": TAKEN}] * 2) == 2
    assert version(client, [{**ROW, "key": TAKEN}, {**ROW, "key": LEFT}]) == 1
    assert version(client, [{**ROW, "key": TAKEN}, ROW]) == 1
    assert {version(client, ROW, **{"X-Request-ID": TAKEN}) for _ in range(3)} == {2}
    assert {version(client, ROW, **{"X-Request-ID": LEFT}) for _ in range(3)} == {1}
    assert {version(client, ROW) for _ in range(40)} == {1, 2}


def test_an_id_is_the_same_as_a_number_and_as_a_text(client: FlaskClient, run: Run) -> None:
    run(HALF)
    taken = next(number for number in range(100) if HALF.takes(str(number)))
    assert [version(client, {**ROW, "key": key}) for key in (taken, float(taken), str(taken))] == [2, 2, 2]


def test_who_names_a_version_or_an_alias_gets_it(client: FlaskClient, run: Run) -> None:
    run(HALF)
    key = {"Experiment-Key": TAKEN}
    paths = [f"/v1/models/sum@{wanted}/predict" for wanted in ("1", "current", "2")]
    assert [version(client, ROW, path, **key) for path in paths] == [1, 1, 2]


def test_each_protocol_gets_the_same_version(settings: Settings, run: Run, tmp_path: Path) -> None:
    """The scorer answers with the version."""
    (tmp_path / "routes.toml").write_text(ROUTES)
    client = create_app(replace(settings, routes_file=tmp_path / "routes.toml")).test_client()
    run(HALF)
    tensor = {"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [1, 2]}
    rows = {"instances": [[1, 2]]}
    requests: list[dict[str, Any]] = [
        {"path": PREDICT, "method": "POST", "json": ROW},
        {"path": PREDICT, "method": "POST", "data": ROW},
        {"path": PREDICT, "method": "POST", "data": "a,b\n1,2\n", "content_type": "text/csv"},
        {"path": PREDICT, "method": "POST", "json": ROW, "headers": {"Accept": "text/csv"}},
        {"path": f"{PREDICT}?a=1&b=2"},
        {"path": "/v2/models/sum/infer", "method": "POST", "json": {"inputs": [tensor]}},
        {"path": "/v1/models/sum:predict", "method": "POST", "json": rows},
        {"path": "/v1/models/sum/invocations", "method": "POST", "json": rows},
        {"path": "/invocations", "method": "POST", "json": rows},
        {"path": "/endpoints/sum/invocations", "method": "POST", "json": rows},
        {"path": "/mass", "method": "POST", "json": ROW},
        {"path": "/mass/1/2"},
    ]
    for request in requests:
        answers = []
        for key in (TAKEN, LEFT):
            headers = {**WAIT, **request.get("headers", {}), "Experiment-Key": key}
            answer = client.open(**{**request, "headers": headers})
            assert answer.status_code == 200, (request, answer.text)
            answers.append(answer.text)
        assert ["200.0" in text for text in answers] == [True, False], (request, answers)
        assert ["100.0" in text for text in answers] == [False, True], (request, answers)


def test_a_variant_or_a_version_in_the_path_of_a_protocol_is_exact(client: FlaskClient, run: Run) -> None:
    run(HALF)
    tensor = {"name": "x", "datatype": "FP64", "shape": [1, 2], "data": [1, 2]}
    key = {"Experiment-Key": TAKEN}
    exact = client.post("/v2/models/sum/versions/1/infer", json={"inputs": [tensor]}, headers=key)
    assert exact.get_json()["model_version"] == "1"
    headers = {**key, "X-Amzn-SageMaker-Target-Variant": "1"}
    exact = client.post("/endpoints/sum/invocations", json={"instances": [[1, 2]]}, headers=headers)
    assert exact.headers["x-Amzn-Invoked-Production-Variant"] == "sum@1"


def test_a_share_that_rises_keeps_whom_it_has(client: FlaskClient, run: Run) -> None:
    keys = [f"k{number}" for number in range(60)]
    taken: list[set[str]] = []
    for share in (0.1, 0.3, 0.6):
        run(replace(HALF, share=share))
        taken.append({key for key in keys if version(client, ROW, **{"Experiment-Key": key}) == 2})
    assert taken[0] < taken[1] < taken[2] < set(keys)


@pytest.mark.parametrize("key", ["", "k" * 257])
def test_a_key_that_is_empty_or_long_is_refused(client: FlaskClient, key: str) -> None:
    answer = client.post(PREDICT, json=ROW, headers={"Experiment-Key": key})
    assert (answer.status_code, answer.get_json()["code"]) == (400, "invalid_parameter")
    answer = client.post("/v1/models/sum:predict", json=[[1, 2]], headers={"Experiment-Key": key})
    assert (answer.status_code, "Experiment-Key must have 1 to 256" in answer.text) == (400, True)


def test_the_same_idempotency_key_with_another_experiment_key_is_another_request(client: FlaskClient, run: Run) -> None:
    run(HALF)
    repeated = {"Idempotency-Key": "k", "Experiment-Key": TAKEN}
    assert [version(client, ROW, **repeated) for _ in range(2)] == [2, 2]
    answer = client.post(PREDICT, json=ROW, headers={**repeated, "Experiment-Key": LEFT})
    assert (answer.status_code, answer.get_json()["code"]) == (422, "idempotency_key_reused")


def test_an_experiment_that_has_ended_or_is_a_shadow_chooses_nobody(
    client: FlaskClient, run: Run, settings: Settings
) -> None:
    run(replace(HALF, plan=replace(HALF.plan, kind=ExperimentKind.SHADOW)))
    assert version(client, ROW, **{"Experiment-Key": TAKEN}) == 1
    run(HALF)
    edit(settings.models_dir, lambda state: end(state, "x1", Ending.ROLLED_BACK, "it is worse"))
    assert version(client, ROW, **{"Experiment-Key": TAKEN}) == 1
    run(replace(HALF, baseline=3))  # its end is not noted yet
    assert version(client, ROW, **{"Experiment-Key": TAKEN}) == 1


def test_what_the_candidate_does_not_accept_or_cannot_do_the_current_version_answers(
    client: FlaskClient, run: Run, settings: Settings
) -> None:
    run(HALF)
    write_version(settings.models_dir, "sum", Sum(), numbers("a", "c"), version=3, current=False)
    for candidate in (3, 4):  # the fourth has never been there
        run(replace(HALF, candidate=candidate))
        assert version(client, ROW, **{"Experiment-Key": TAKEN}) == 1


def test_a_method_that_the_candidate_lacks_is_asked_of_the_current_version(
    client: FlaskClient, run: Run, settings: Settings
) -> None:
    run(replace(HALF, baseline=3))
    methods = (signatures.PREDICT, Method("decision_function", AnswerForm.NUMBER))
    signature = Signature(tuple(INPUTS), (Output(OutputKind.NUMBER),), "key", methods=methods)
    write_version(settings.models_dir, "sum", Sum(), INPUTS, version=3, signature=signature)
    taken = {"Experiment-Key": TAKEN}
    assert version(client, ROW, **taken) == 2
    assert version(client, ROW, PREDICT.replace("/predict", "/decision_function"), **taken) == 3


def test_a_lenient_request_gets_one_version_for_all_its_rows(client: FlaskClient, run: Run, settings: Settings) -> None:
    run(HALF)
    headers = {"Prefer": "wait=30, handling=lenient", "Experiment-Key": TAKEN}
    assert version(client, [{"a": "?", "b": 1}, ROW], **headers) == 2
    narrower = [Field("a", Kind.INTEGER), Field("b", Kind.NUMBER)]
    write_version(settings.models_dir, "sum", Sum(), narrower, version=3, current=False)
    run(replace(HALF, candidate=3))
    assert version(client, [{"a": 1.5, "b": 1}, ROW], **headers) == 1, "the candidate refuses a row more"


def test_the_log_and_the_metrics_have_the_version_that_has_answered(client: FlaskClient, run: Run) -> None:
    run(HALF)
    with recorded(ACCESS) as lines:
        version(client, ROW, **{"Experiment-Key": TAKEN})
        client.post("/v1/models/sum:predict", json=[[1, 2]], headers={"Experiment-Key": TAKEN})
    assert [line["version"] for line in lines.events] == [2, 2]


def test_a_shadow_marks_the_logged_jobs_that_it_takes(
    client: FlaskClient, run: Run, settings: Settings, scored: dict[str, BatchJob]
) -> None:
    shadow = replace(HALF, plan=replace(HALF.plan, kind=ExperimentKind.SHADOW))
    run(shadow)
    for _ in range(30):
        version(client, ROW)
    marks = {job: (scored[job].logged or {}).get("experiment") for job in scored}
    assert marks == {job: "x1" if shadow.takes(job) else None for job in scored}
    assert set(marks.values()) == {"x1", None}
    scored.clear()
    version(client, ROW, "/v1/models/sum@2/predict")
    edit(settings.models_dir, lambda state: end(state, "x1", Ending.STOPPED, ""))
    for _ in range(8):
        version(client, ROW)
    assert {(job.logged or {})["experiment"] for job in scored.values() if "experiment" in (job.logged or {})} == set()

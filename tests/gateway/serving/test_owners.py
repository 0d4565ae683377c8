"""What belongs to whom: a job, a training or a schedule of another owner does not exist, nor does another model."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis
from werkzeug.test import TestResponse

from broker.link.connection import connect
from broker.records.job_kinds import TRAINING
from broker.sides.gateway.job_client import Jobs
from broker.sides.gateway.trainer_client import TrainerClient
from broker.sides.single_jobs import SingleJobs
from broker.sides.trainer import Scheduler
from broker.state.schedules import OthersSchedule, Schedules
from contract.settings import Settings
from contract.work.api_keys import Key, Limits, Scope
from contract.work.jobs import PredictionJob
from contract.work.training import TrainingRequest
from gateway.app import create_app
from tests.broker import samples
from tests.gateway.callers import ADMIN_KEY, Caller
from tests.support import SIGNER, Sum, numbers, write_version

UNKNOWN = "0" * 32
"""The id of no job."""
CREATED = "2026-01-02T03:04:05.000006Z"
RISK, SALES = (Key(f"k-{owner}", f"{owner}-ci", owner, frozenset(Scope) - {Scope.ADMIN}) for owner in ("risk", "sales"))


@pytest.fixture
def client(settings: Settings) -> FlaskClient:
    return create_app(replace(settings, admin_key=ADMIN_KEY), lambda _: {}).test_client()


@pytest.fixture
def holder(client: FlaskClient, redis: Redis) -> Callable[[Key], Caller]:
    """Make a key, and return its holder."""
    return functools.partial(Caller.with_key, client, redis)


@pytest.fixture
def risk(holder: Callable[[Key], Caller]) -> Caller:
    return holder(RISK)


@pytest.fixture
def sales(holder: Callable[[Key], Caller]) -> Caller:
    return holder(SALES)


@pytest.fixture
def admin(client: FlaskClient) -> Caller:
    return Caller(client)


@pytest.fixture
def trainer(redis: Redis) -> SingleJobs:
    """A trainer that has published its recipes."""
    return samples.trainer(redis, ["loan", "sum", "tabular"])


def predicted(caller: Caller, model: str = "sum") -> str:
    answer = caller("POST", f"/v1/models/{model}/predict", json={"a": 1, "b": 2})
    assert answer.status_code == 202, answer.text
    return str(answer.json["id"])


def trained(caller: Caller, model: str = "loan") -> str:
    answer = caller("POST", f"/v1/models/{model}/train", json={"recipe": "loan"})
    assert answer.status_code == 202, answer.text
    return str(answer.json["id"])


def listed(caller: Caller, query: str = "") -> set[str]:
    return {job["id"] for job in caller("GET", f"/v1/jobs{query}").json["items"]}


def as_sent(answer: TestResponse, own_id: str) -> tuple[str, Mapping[str, str], str]:
    """The whole answer, without the ids of request and job."""
    ids = ("X-Request-ID", "x-amzn-RequestId")
    headers = {name: value for name, value in answer.headers.items() if name not in ids}
    return answer.status, headers, answer.text.replace(own_id, UNKNOWN)


ASKED = [
    ("GET", "/v1/jobs/{}"),
    ("HEAD", "/v1/jobs/{}"),
    ("GET", "/v1/jobs/{}?wait=30"),
    ("DELETE", "/v1/jobs/{}"),
    ("POST", "/v1/jobs/{}/cancel"),
    ("GET", "/v1/jobs/{}/events"),
    ("HEAD", "/v1/jobs/{}/events"),
    ("GET", "/v1/jobs/{}/log"),
    ("GET", "/v1/jobs/{}/log?from=3"),
    ("GET", "/v1/jobs/{}/output"),
    ("HEAD", "/v1/jobs/{}/output"),
    ("GET", "/v1/jobs/{}/errors"),
    ("HEAD", "/v1/jobs/{}/errors"),
    ("GET", "/v1/jobs/{}/deliveries"),
]


def test_every_route_with_the_id_of_a_job_is_asked(client: FlaskClient) -> None:
    routes = {
        (method, rule.rule.replace("<job_id>", "{}"))
        for rule in client.application.url_map.iter_rules()
        if "job_id" in rule.arguments and not rule.page  # tests/gateway/pages asks the pages
        for method in (rule.methods or set()) - {"OPTIONS"}
    }
    asked = {(method, path.partition("?")[0]) for method, path in ASKED}
    assert routes == asked | {("HEAD", "/v1/jobs/{}/log"), ("HEAD", "/v1/jobs/{}/deliveries")}


@pytest.mark.parametrize(("method", "path"), ASKED)
@pytest.mark.parametrize("make", [predicted, trained])
def test_a_job_of_another_owner_is_answered_as_one_that_never_existed(
    risk: Caller,
    sales: Caller,
    admin: Caller,
    trainer: SingleJobs,
    redis: Redis,
    make: Callable[[Caller], str],
    method: str,
    path: str,
) -> None:
    job_id = make(risk)
    before = redis.hgetall(f"rq:job:{job_id}")
    other = sales(method, path.format(job_id))
    assert other.status_code == 404
    assert as_sent(other, job_id) == as_sent(sales(method, path.format(UNKNOWN)), UNKNOWN)
    assert redis.hgetall(f"rq:job:{job_id}") == before  # neither cancelled nor subscribed to
    for caller in (risk, admin):
        assert caller("GET", f"/v1/jobs/{job_id}").json["status"] == "queued"


def test_another_owners_running_or_ended_job_stays(risk: Caller, sales: Caller, trainer: SingleJobs) -> None:
    job_id = trained(risk)
    begun = trainer.begin([])
    assert begun is not None and begun.id == job_id
    assert sales("DELETE", f"/v1/jobs/{job_id}").status_code == 404
    assert risk("GET", f"/v1/jobs/{job_id}").json["status"] == "running"
    trainer.finish(job_id, {"model": "loan", "version": 4})
    assert sales("DELETE", f"/v1/jobs/{job_id}").status_code == 404
    assert risk("GET", f"/v1/jobs/{job_id}").json["output"]["version"] == 4  # also after its end it has its owner
    assert risk("DELETE", f"/v1/jobs/{job_id}").status_code == 204


def test_lists_show_ones_own_jobs_and_an_admin_all(
    risk: Caller, sales: Caller, admin: Caller, trainer: SingleJobs
) -> None:
    mine, theirs = {predicted(risk), trained(risk)}, {predicted(sales), trained(sales)}
    assert listed(risk) == mine
    assert listed(sales) == listed(sales, "?status=queued") == theirs
    assert listed(admin) == mine | theirs
    owners = {job["owner"] for job in admin("GET", "/v1/jobs").json["items"] if job["id"] in mine}
    assert owners == {"risk"}


def test_only_an_admin_sees_a_job_from_before_the_first_key(
    sales: Caller, admin: Caller, redis: Redis, settings: Settings
) -> None:
    Jobs(redis, max_queue_rows=9, timeout=9, result_ttl=99).submit(
        [PredictionJob("older", CREATED, "sum", 1, [[1.0, 2.0]])]
    )
    assert sales("GET", "/v1/jobs/older").status_code == 404
    assert admin("GET", "/v1/jobs/older").status_code == 200
    assert (listed(sales), listed(admin)) == (set(), {"older"})


def test_keys_of_one_owner_share_their_jobs(risk: Caller, holder: Callable[[Key], Caller]) -> None:
    rotated = holder(replace(RISK, id="k-2", name="laptop"))
    assert rotated("GET", f"/v1/jobs/{predicted(risk)}").status_code == 200


@pytest.mark.parametrize(("make", "scope"), [(predicted, "predict"), (trained, "train")])
def test_a_key_with_read_alone_cannot_cancel_the_jobs_of_its_owner(
    risk: Caller, holder: Callable[[Key], Caller], trainer: SingleJobs, make: Callable[[Caller], str], scope: str
) -> None:
    reader, job_id = holder(replace(RISK, scopes=frozenset({Scope.READ}))), make(risk)
    refused = reader("DELETE", f"/v1/jobs/{job_id}")
    assert (refused.status_code, refused.json["code"], refused.json["scope"]) == (403, "missing_scope", scope)
    assert reader("GET", f"/v1/jobs/{job_id}").json["status"] == "queued"
    assert reader("DELETE", f"/v1/jobs/{UNKNOWN}").status_code == 404


# Schedules


SCHEDULE = {"cron": "0 3 * * 1", "request": {"recipe": "loan"}}
PATH = "/v1/models/loan/schedule"


def test_the_schedule_of_another_owner_does_not_exist(
    risk: Caller, sales: Caller, admin: Caller, trainer: SingleJobs
) -> None:
    assert risk("PUT", PATH, json=SCHEDULE).status_code == 200
    for method in ("GET", "DELETE"):
        other, none = sales(method, PATH), sales(method, PATH.replace("loan", "iris"))
        assert (other.status_code, other.json["code"]) == (404, "no_schedule")
        assert other.text == none.text.replace("iris", "loan")
    assert sales("GET", "/v1/schedules").json == {"items": []}
    for caller in (risk, admin):
        (shown,) = caller("GET", "/v1/schedules").json["items"]
        assert (shown["model"], shown["owner"]) == ("loan", "risk")


def test_the_schedule_of_another_owner_is_not_replaced(
    risk: Caller, sales: Caller, admin: Caller, trainer: SingleJobs
) -> None:
    risk("PUT", PATH, json=SCHEDULE)
    refused = sales("PUT", PATH, json={**SCHEDULE, "cron": "0 4 * * 1"})
    assert (refused.status_code, refused.json["code"]) == (409, "others_schedule")
    assert "risk" not in refused.text
    assert risk("GET", PATH).json["cron"] == "0 3 * * 1"
    assert admin("DELETE", PATH).status_code == 204
    assert sales("PUT", PATH, json=SCHEDULE).status_code == 200
    assert risk("GET", PATH).status_code == 404


LAKE = "/v1/models/sum/schedule/predict"
NIGHTLY = {"cron": "30 2 * * *", "source": "s3://lake/new/*.csv", "target": "s3://lake/scored/"}


def test_the_scheduled_prediction_of_another_owner_does_not_exist(risk: Caller, sales: Caller, admin: Caller) -> None:
    assert risk("PUT", LAKE, json=NIGHTLY).json["owner"] == "risk"
    said = {"due": "now", "status": "failed"}
    for method, path, body in (("GET", LAKE, None), ("DELETE", LAKE, None), ("PUT", f"{LAKE}/run", said)):
        answer = sales(method, path, json=body)
        assert (answer.status_code, answer.json["code"]) == (404, "no_schedule")
    refused = sales("PUT", LAKE, json=NIGHTLY)
    assert (refused.status_code, refused.json["code"]) == (409, "others_schedule")
    assert "risk" not in refused.text
    assert sales("GET", "/v1/schedules/predict").json == {"items": []}
    for caller in (risk, admin):
        assert [item["owner"] for item in caller("GET", "/v1/schedules/predict").json["items"]] == ["risk"]
    assert admin("DELETE", LAKE).status_code == 204
    assert sales("PUT", LAKE, json=NIGHTLY).json["owner"] == "sales"


def put_schedules(caller: Caller, *models: str) -> list[tuple[int, str | None]]:
    answers = [caller("PUT", f"/v1/models/{model}/schedule", json=SCHEDULE) for model in models]
    return [(answer.status_code, answer.json.get("code")) for answer in answers]


def test_an_owner_has_as_many_schedules_as_the_key_lets_trainings_wait(
    holder: Callable[[Key], Caller], sales: Caller, trainer: SingleJobs
) -> None:
    limited = holder(replace(RISK, limits=Limits(trainings_waiting=2)))
    refused = (429, "trainings_waiting_limit")
    assert put_schedules(limited, "a", "b", "c") == [(200, None)] * 2 + [refused]
    answer = limited("PUT", "/v1/models/c/schedule", json=SCHEDULE)
    assert answer.json["detail"] == (
        "your owner has as many schedules as this key lets trainings wait (2, trainings_waiting); delete one first"
    )
    assert "Retry-After" not in answer.headers, "waiting does not help"
    assert put_schedules(limited, "b") == [(200, None)], "one that exists can be replaced"
    assert put_schedules(sales, "c", "d", "e") == [(200, None)] * 3
    assert limited("DELETE", "/v1/models/a/schedule").status_code == 204
    assert put_schedules(limited, "f", "g") == [(200, None), refused]


def test_one_owner_leaves_places_for_the_schedules_of_others(
    risk: Caller, sales: Caller, admin: Caller, trainer: SingleJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.state.schedules.MOST", 4)
    full = (409, "too_many_schedules")
    assert put_schedules(risk, "a", "b", "c", "d", "a") == [(200, None)] * 3 + [full, (200, None)]
    answer = risk("PUT", "/v1/models/d/schedule", json=SCHEDULE)
    assert answer.json["detail"] == "one owner can have 3 schedules, and yours has as many; delete one first"
    assert put_schedules(sales, "d", "e") == [(200, None), full]
    assert put_schedules(admin, "a") == [(200, None)], "an admin can replace one of another owner"


def test_an_owner_whose_unseen_results_take_their_share_is_told_so(risk: Caller, sales: Caller, redis: Redis) -> None:
    assert predicted(risk)
    redis.hset("mg:results:risk", "", 10 * 2**30)
    redis.config_set("maxmemory", 2**30)
    try:
        refused = risk("POST", "/v1/models/sum/predict", json={"a": 1, "b": 2})
        assert (refused.status_code, refused.json["code"]) == (503, "redis_full")
        said = (
            "results of your owner that no client has read take their share of Redis; read or delete them; try again in"
        )
        assert refused.json["detail"].startswith(said) and int(refused.headers["Retry-After"]) > 0
        assert predicted(sales)
    finally:
        redis.config_set("maxmemory", 0)


def test_one_owner_leaves_places_for_the_trainings_of_others(
    risk: Caller, sales: Caller, trainer: SingleJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.serving.trainings.MAX_WAITING", 4)

    def train(caller: Caller) -> tuple[int, str | None]:
        answer = caller("POST", "/v1/models/sum/train", json={"recipe": "sum"})
        return answer.status_code, answer.json.get("code")

    assert [train(risk) for _ in range(4)] == [(202, None)] * 3 + [(503, "queue_full")]
    assert [train(sales) for _ in range(2)] == [(202, None), (503, "queue_full")]


def test_only_one_of_several_owners_that_put_a_schedule_at_once_wins(redis: Redis, redis_url: str) -> None:
    def put(owner: str) -> str | None:
        with connect(redis_url) as connection:
            schedules = Schedules(connection, SIGNER, timeout=60, result_ttl=60)
            try:
                return schedules.put(
                    "loan", "0 3 * * 1", TrainingRequest("loan", "loan"), replace(RISK, owner=owner)
                ).owner
            except OthersSchedule:
                return None

    with ThreadPoolExecutor(6) as pool:
        winners = [owner for owner in pool.map(put, "abcdef") if owner]
    kept = Schedules(redis, SIGNER, timeout=60, result_ttl=60).get("loan")
    assert kept is not None and winners == [kept.owner]
    assert redis.zcard("rq:scheduled:training") == 1


def test_the_runs_of_a_schedule_belong_to_its_owner(
    risk: Caller, sales: Caller, trainer: SingleJobs, redis: Redis
) -> None:
    risk("PUT", PATH, json=SCHEDULE)
    schedules = Schedules(redis, SIGNER, timeout=60, result_ttl=60)
    first = schedules.get("loan")
    assert first is not None and first.owner == "risk"
    redis.zadd("rq:scheduled:training", {first.job: 1})  # it is due
    clock = Scheduler(redis, TRAINING.queue)
    assert clock.enqueue_due()
    clock.stop()
    begun = trainer.begin([])
    assert begun is not None and begun.id == first.job
    assert risk("GET", f"/v1/jobs/{first.job}").json["status"] == "running"
    assert sales("GET", f"/v1/jobs/{first.job}").status_code == 404
    schedules.advance(pytest.fail)
    following = schedules.get("loan")
    assert following is not None and following.owner == "risk" and following.job != first.job
    assert redis.hget(f"rq:job:{following.job}", "owner") == b"risk"


def test_a_schedule_whose_owner_was_altered_is_not_signed(risk: Caller, trainer: SingleJobs, redis: Redis) -> None:
    risk("PUT", PATH, json=SCHEDULE)
    text = redis.hget("mg:schedules", "loan")
    assert isinstance(text, bytes)
    redis.hset("mg:schedules", "loan", text.replace(b'"risk"', b'"sales"'))
    unsigned: list[str] = []
    Schedules(redis, SIGNER, timeout=60, result_ttl=60).advance(unsigned.append)
    assert unsigned == ["loan"]


# The models of a key


FEW = replace(RISK, id="k-few", models=frozenset({"sum", "new"}))


@pytest.fixture
def few(holder: Callable[[Key], Caller], models: Path) -> Caller:
    """Who may use `sum` and `new`, of which only the first exists; `hidden` exists, too."""
    write_version(models, "hidden", Sum(), numbers("a", "b"))
    return holder(FEW)


BODIES: Mapping[str, dict[str, Any]] = {"json": {"json": {"a": 1, "b": 2}}, "none": {}}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_another_model_is_answered_as_an_unknown_one_on_every_route(
    few: Caller, client: FlaskClient, trainer: SingleJobs, body: dict[str, Any]
) -> None:
    asked = 0
    for rule in client.application.url_map.iter_rules():
        if not rule.arguments & {"name", "reference"} or rule.page:  # pages have their own test
            continue
        values = dict.fromkeys(rule.arguments, "x") | {"version": "1", "method": "transform"}
        for method in (rule.methods or set()) - {"OPTIONS"}:
            exists, unknown = (
                few(method, "".join(rule.build({**values, "name": name, "reference": name})[1]), **body)  # type: ignore[index]
                for name in ("hidden", "absent")
            )
            assert exists.status_code == 404, (method, rule.rule)
            assert as_sent(exists, "hidden") == as_sent(unknown, "absent"), (method, rule.rule)
            asked += 1
    assert asked > 20


def test_the_answer_names_the_models_of_the_key_alone(few: Caller) -> None:
    answer = few("GET", "/v1/models/hidden@canary")
    assert (answer.json["code"], answer.json["models"]) == ("unknown_model", ["sum"])
    assert answer.json["detail"] == "there is no model 'hidden' that this key may use; there are: sum"
    assert "did you mean" not in few("GET", "/v1/models/hiden").text
    assert "(did you mean 'sum'?)" in few("GET", "/v1/models/summ").text
    model = few("GET", "/v1/models/new").json
    assert (model["code"], model["models"]) == ("unknown_model", ["sum"])


def test_lists_show_the_models_of_the_key_alone(few: Caller, risk: Caller, admin: Caller, trainer: SingleJobs) -> None:
    assert [model["name"] for model in few("GET", "/v1/models").json["items"]] == ["sum"]
    assert [model["name"] for model in risk("GET", "/v1/models").json["items"]] == ["hidden", "sum"]
    mine, other = predicted(few), predicted(risk, "hidden")
    assert listed(few) == listed(few, "?model=sum") == {mine}
    assert listed(few, "?model=hidden") == set()
    assert few("GET", f"/v1/jobs/{other}").status_code == 404
    risk("PUT", PATH, json=SCHEDULE)
    assert few("GET", "/v1/schedules").json["items"] == []


def test_a_key_trains_new_models_of_its_own_alone(few: Caller, trainer: SingleJobs) -> None:
    assert few("POST", "/v1/models/other/train", json={"recipe": "loan"}).status_code == 404
    trained(few, "new")


def test_an_installation_without_keys_shows_everything(settings: Settings, redis: Redis, trainer: SingleJobs) -> None:
    everybody = create_app(settings).test_client()
    job_id = everybody.post("/v1/models/loan/train", json={"recipe": "loan"}).json["id"]
    TrainerClient(redis, SIGNER, timeout=9, result_ttl=9).submit(TrainingRequest("loan", "loan"), RISK)
    assert "owner" not in everybody.get(f"/v1/jobs/{job_id}").json
    assert len(everybody.get("/v1/jobs").json["items"]) == 2
    assert redis.hget(f"rq:job:{job_id}", "owner") is None

"""Ended jobs and changed models arrive at webhooks: signed, at least once under one id, and at nobody else's."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from broker.link.outbox import Outbox
from broker.metrics.reading import MetricsReader
from broker.metrics.table import ALIVE, WEBHOOK_TRIES, WEBHOOKS, WEBHOOKS_AGE, WEBHOOKS_WAITING
from broker.sides.deliveries import Deliveries, Planned
from broker.sides.file_tasks import FileTasks
from broker.sides.gateway.file_submission import FileJobs
from broker.sides.gateway.job_client import Jobs
from broker.sides.gateway.trainer_client import TrainerClient
from broker.sides.supervisor import Leases
from broker.state.webhook_store import Webhooks
from contract.errors import Failure
from contract.model.repository import Repository
from contract.work.jobs import PredictionOutcome
from contract.work.training import TrainingRequest
from contract.work.webhooks import AllowedTargets, Subscription
from events import sender
from events.sender import Sender
from events.service import EACH_HOST, EACH_OWNER, PER_ROUND, Service
from tests.broker.samples import job, key, outcome, scorer, take
from tests.broker.sides.test_files import SCORED, file_job, planned, taken
from tests.stacks.receiver import Receiver, receiver
from tests.support import SIGNER, numbers, until, write_version

SECRET = b"s" * 32
LANE = "mg-events:due: 127.0.0.1"
"""The deliveries of nobody's jobs to loopback."""
CREATED = "2026-01-02T03:04:05.000006Z"
SCORED_ROW = outcome(3.0)


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as server:
        yield server


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failed tries are repeated at once."""
    monkeypatch.setattr(sender, "PAUSES", (0.01,) * 3)


@pytest.fixture
def make(redis: Redis, models: Path) -> Iterator[Callable[..., Service]]:
    made: list[Service] = []

    def make(*allowed: str) -> Service:
        made.append(Service(redis, Repository(models), Sender([SECRET], AllowedTargets(allowed))))
        return made[-1]

    yield make
    for service in made:
        service.close(lambda: 0)


@pytest.fixture
def service(make: Callable[..., Service]) -> Service:
    return make("127.0.0.0/8")


@pytest.fixture
def jobs(redis: Redis) -> Jobs:
    return Jobs(redis, max_queue_rows=100, timeout=30, result_ttl=60)


def end(redis: Redis, jobs: Jobs, result: PredictionOutcome | Failure = SCORED_ROW, **changes: Any) -> None:
    """Submit the job j1 and let it end with `result`."""
    queue = scorer(Leases(redis), redis)
    jobs.submit([job("j1", **changes)])
    assert take(queue) == ["j1"]
    queue.finish({"j1": result})


def cancel(jobs: Jobs, job_id: str, **changes: Any) -> None:
    """Submit a job and cancel it."""
    jobs.submit([job(job_id, **changes)])
    jobs.cancel(job_id)


def run_until(service: Service, condition: Callable[[], Any], what: str) -> Any:
    def step() -> Any:
        service.step()
        return condition()

    return until(step, what)


def subscribe(redis: Redis, name: str, url: str, *events: str, owner: str = "", models: Any = None) -> None:
    assert Webhooks(redis).replace(name, None, Subscription(name, url, events, CREATED, owner, models))


def delivered(redis: Redis, job_id: str) -> list[Any]:
    return [delivery["status"] for delivery in Webhooks(redis).deliveries(job_id)]


def test_the_url_of_a_job_gets_its_end_signed(redis: Redis, jobs: Jobs, service: Service, hook: Receiver) -> None:
    end(redis, jobs, webhook=hook.url)
    run_until(service, lambda: delivered(redis, "j1") == ["delivered"], "the webhook is delivered")
    (got,) = hook.received
    assert got.path == "/hook?token=1" and got.headers["Host"] == f"127.0.0.1:{hook.port}"
    assert got.id == "msg_j1" and got.headers["Content-Type"] == "application/json"
    signed = f"msg_j1.{got.headers['webhook-timestamp']}.".encode() + got.body
    digest = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    assert got.headers["webhook-signature"] == f"v1,{digest}"
    assert abs(int(got.headers["webhook-timestamp"]) - time.time()) < 300
    message = got.json
    assert message["type"] == "prediction.succeeded" and message["timestamp"] == message["data"]["completed_at"]
    assert message["data"]["id"] == "j1" and message["data"]["output"]["predictions"] == [3.0]
    assert "worker" not in message["data"]
    (delivery,) = Webhooks(redis).deliveries("j1")
    assert (delivery["webhook"], delivery["url"], len(delivery["tries"])) == (None, hook.url, 1)  # type: ignore[arg-type]


def test_a_job_without_a_url_is_not_reported(redis: Redis, jobs: Jobs, service: Service) -> None:
    end(redis, jobs)
    service.step()
    assert redis.llen("mg:webhooks:ended") == 0 and redis.zcard("mg-events:due") == 0


@pytest.mark.usefixtures("quickly")
def test_a_failed_try_is_repeated_under_the_same_id(redis: Redis, jobs: Jobs, service: Service, hook: Receiver) -> None:
    hook.answers = [(500, {}), (302, {"Location": "/elsewhere"})]
    end(redis, jobs, webhook=hook.url)
    run_until(service, lambda: delivered(redis, "j1") == ["delivered"], "the third try succeeds")
    assert [message.id for message in hook.received] == ["msg_j1"] * 3
    assert {message.path for message in hook.received} == {"/hook?token=1"}, "no redirect is followed"
    (delivery,) = Webhooks(redis).deliveries("j1")
    assert [(attempt["status"], attempt["error"]) for attempt in delivery["tries"]] == [  # type: ignore[attr-defined]
        (500, None),
        (302, "redirects are not followed"),
        (204, None),
    ]


@pytest.mark.usefixtures("quickly")
def test_what_fails_too_often_or_is_gone_is_given_up(
    redis: Redis, jobs: Jobs, service: Service, hook: Receiver
) -> None:
    hook.answers = [(410, {})]
    end(redis, jobs, webhook=hook.url)
    run_until(service, lambda: delivered(redis, "j1") == ["failed"], "410 ends it")
    assert len(hook.received) == 1
    hook.answers = [(503, {})] * 9
    jobs.delete("j1")
    redis.delete("mg-events:delivery:msg_j1")
    end(redis, jobs, webhook=hook.url)
    run_until(service, lambda: delivered(redis, "j1") == ["failed"], "four tries end it")
    assert len(hook.received) == 5
    counted = MetricsReader(redis).read([]).values
    run_until(service, lambda: MetricsReader(redis).read([]).values[WEBHOOK_TRIES]["failed",] == 5, "they are counted")
    assert counted[WEBHOOKS_WAITING][()] == 0


def test_a_receiver_can_put_off_the_next_try(redis: Redis, jobs: Jobs, service: Service, hook: Receiver) -> None:
    hook.answers = [(429, {"Retry-After": "1000"})]
    end(redis, jobs, webhook=hook.url)
    (delivery,) = run_until(service, lambda: hook.received and _tried(redis), "a try is noted")
    assert delivery["status"] == "pending"
    wait = redis.zscore(LANE, "msg_j1") / 1000 - time.time()  # type: ignore[operator]
    assert 900 < wait < 1001


def _tried(redis: Redis, job_id: str = "j1") -> Any:
    deliveries = Webhooks(redis).deliveries(job_id)
    return deliveries if deliveries and deliveries[0]["tries"] else None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_address_that_is_not_public_gets_nothing(
    redis: Redis, jobs: Jobs, make: Callable[..., Service], hook: Receiver, host: str
) -> None:
    end(redis, jobs, webhook=f"http://{host}:{hook.port}/")
    (delivery,) = run_until(make(), lambda: _tried(redis), "a try is noted")
    assert "which is not public (WEBHOOK_ALLOW)" in delivery["tries"][0]["error"]
    assert hook.received == []


def test_a_host_can_be_allowed_by_its_name(
    redis: Redis, jobs: Jobs, make: Callable[..., Service], hook: Receiver
) -> None:
    end(redis, jobs, webhook=f"http://localhost:{hook.port}/")
    run_until(make("localhost"), lambda: delivered(redis, "j1") == ["delivered"], "it is delivered")
    assert hook.received[0].headers["Host"] == f"localhost:{hook.port}"


def test_a_receiver_that_does_not_answer_holds_up_no_other(
    redis: Redis, jobs: Jobs, service: Service, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "TIMEOUT", 0.5)
    hook.answers = [None] * 10
    with receiver() as other:
        jobs.submit([job(f"s{n}", webhook=hook.url) for n in range(10)])
        jobs.submit([job("quick", webhook=other.url.replace("127.0.0.1", "localhost"))])
        for name in (*(f"s{n}" for n in range(10)), "quick"):
            jobs.cancel(name)
        run_until(service, lambda: other.received, "the other one is delivered")
        assert other.bodies()[0]["type"] == "prediction.canceled"
        assert len(hook.received) <= 5
    (tries,) = run_until(service, lambda: [d["tries"] for d in Webhooks(redis).deliveries("s0") if d["tries"]], "over")
    assert tries[0]["error"] == "no answer within 0.5 s"


def test_a_host_that_does_not_answer_delays_no_other_whatever_waits_for_it(
    redis: Redis, jobs: Jobs, service: Service, hook: Receiver
) -> None:
    hook.answers = [None] * 40
    many = Jobs(redis, max_queue_rows=2000, timeout=30, result_ttl=60)
    names = [f"s{n}" for n in range(1000)]
    many.submit([job(name, webhook=hook.url) for name in names])
    for name in names:
        jobs.cancel(name)
    run_until(service, lambda: redis.hget("mg-events:waiting", "") == b"1000", "all are planned")
    with receiver() as other:
        cancel(jobs, "quick", webhook=other.url.replace("127.0.0.1", "localhost"))
        service.step()
        until(lambda: other.received, "the other one is sent in this round")
        assert len(hook.received) <= EACH_HOST


def test_an_owner_whose_hosts_do_not_answer_leaves_senders_to_others(
    redis: Redis, jobs: Jobs, service: Service, hook: Receiver
) -> None:
    names = [f"s{n}" for n in range(100)]
    with receiver(address="") as slow:
        slow.answers = [None] * 100
        for number, name in enumerate(names):
            url = slow.url.replace("127.0.0.1", f"127.0.0.{2 + number % 20}")
            cancel(jobs, name, webhook=url, caller=key("k", "slow"))
        run_until(service, lambda: len(slow.received) == EACH_OWNER, "the slow owner has its share")
        cancel(jobs, "quick", webhook=hook.url, caller=key("k", "other"))
        service.step()
        until(lambda: hook.received, "the other one is sent in this round")
        assert len(slow.received) == EACH_OWNER


def test_a_flood_of_ends_is_planned_without_pauses(redis: Redis, jobs: Jobs, service: Service) -> None:
    """Ends have one list for all owners."""
    end(redis, jobs, webhook="https://example.org/")
    (entry,) = redis.lrange("mg:webhooks:ended", 0, -1)
    for number in range(2 * PER_ROUND):
        redis.rpush("mg:webhooks:ended", json.dumps({**json.loads(entry), "id": f"j{number + 2}"}))
    assert [service.step() for _ in range(3)] == [True, True, False]
    assert not redis.exists("mg:webhooks:ended")


def test_hosts_of_an_owner_and_owners_take_turns(redis: Redis) -> None:
    deliveries = Deliveries(redis, Outbox(redis))
    for waiting in ("a1 a h", "a2 a h", "a3 a h", "a4 a i", "b1 b h", "c1 c h"):
        name, owner, host = waiting.split()
        entry = name.encode()
        redis.rpush("mg:webhooks:ended", entry)
        delivery = Planned(name, f"http://{host}/", "", "prediction.succeeded", owner, host, CREATED, "sum")
        assert deliveries.plan([(entry, "", [delivery])] * 2) == [0, 0]
    claimed = [delivery.id for delivery in deliveries.claim(5, 2, 3, [])]
    assert claimed == ["a1", "b1", "c1", "a4", "a2"], "and the owner a has its three"
    assert [delivery.id for delivery in deliveries.claim(5, 2, 4, [])] == ["a3"]
    assert redis.hgetall("mg-events:waiting") == {b"a": b"4", b"b": b"1", b"c": b"1"}


def test_an_owner_has_so_many_waiting_and_the_others_are_given_up(
    redis: Redis, jobs: Jobs, service: Service, hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.sides.deliveries.MOST_WAITING", 2)
    hook.answers = [(500, {})] * 2
    for name in ("a", "b", "c"):
        cancel(jobs, name, webhook=hook.url)
    run_until(service, lambda: delivered(redis, "c") == ["failed"], "the third is given up")
    (delivery,) = Webhooks(redis).deliveries("c")
    assert "2 webhooks of its owner wait already" in delivery["tries"][0]["error"]
    assert delivered(redis, "a") == delivered(redis, "b") == ["pending"]
    run_until(service, lambda: MetricsReader(redis).read([]).values[WEBHOOKS]["failed",] == 1, "it is counted")
    assert MetricsReader(redis).read([]).values[WEBHOOKS_WAITING][()] == 2


def test_a_webhook_waits_without_the_output_of_its_job(
    redis: Redis, jobs: Jobs, service: Service, hook: Receiver
) -> None:
    hook.answers = [(500, {})]
    end(redis, jobs, outcome(*[1 / 3] * 2_000), webhook=hook.url)
    run_until(service, lambda: _tried(redis), "a try has failed")
    assert len(hook.bodies()[0]["data"]["output"]["predictions"]) == 2_000
    assert redis.memory_usage("mg-events:delivery:msg_j1") < 1_500


def test_webhooks_are_gone_with_their_job(redis: Redis, jobs: Jobs, service: Service, hook: Receiver) -> None:
    hook.answers = [(500, {}), (204, {})]
    for name in ("a", "b"):
        cancel(jobs, name, webhook=hook.url)
        run_until(service, lambda name=name: _tried(redis, name), "a try is noted")  # type: ignore[misc]
    assert {delivered(redis, name)[0] for name in "ab"} == {"pending", "delivered"}
    assert 0 < redis.ttl("mg-events:delivery:msg_b") <= 60, "its job is kept for a minute"
    assert jobs.delete("a") and jobs.delete("b")
    assert set(redis.keys("mg-events:*")) <= {b"mg-events:models", b"mg-events:alive"}


def test_what_waits_for_an_owner_or_a_host_can_be_deleted(
    redis: Redis, jobs: Jobs, make: Callable[..., Service]
) -> None:
    webhooks, service = Webhooks(redis), make()
    for name, owner, url in (
        ("a", "risk", "http://127.0.0.1:9/"),
        ("b", "risk", "http://localhost:9/"),
        ("c", "sales", "http://127.0.0.1:9/"),
    ):
        cancel(jobs, name, webhook=url, caller=key("k", owner))
    run_until(service, lambda: webhooks.waiting() == {"risk": 2, "sales": 1}, "all wait")
    assert webhooks.delete_waiting("risk", "localhost") == 1 and webhooks.deliveries("b") == []
    assert webhooks.delete_waiting("risk") == 1 and webhooks.delete_waiting("risk") == 0
    assert webhooks.waiting() == {"sales": 1}


def test_a_full_redis_gets_no_deliveries_and_sends_those_that_it_has(
    redis: Redis, jobs: Jobs, service: Service, hook: Receiver
) -> None:
    hook.answers = [(500, {})]
    end(redis, jobs, webhook=hook.url)
    run_until(service, lambda: _tried(redis), "one waits")
    cancel(jobs, "late", webhook=hook.url)
    redis.config_set("maxmemory", 1)
    try:
        for _ in range(5):
            service.step()
        assert Webhooks(redis).deliveries("late") == [] and redis.llen("mg:webhooks:ended") == 1
        redis.config_set("maxmemory", 0)
        due_now(redis)
        redis.config_set("maxmemory", 1)
        run_until(service, lambda: delivered(redis, "j1") == ["delivered"], "what waited before is sent")
    finally:
        redis.config_set("maxmemory", 0)
    run_until(service, lambda: delivered(redis, "late") == ["delivered"], "with room it is sent")


def due_now(redis: Redis) -> None:
    """Let a delivery be due, as after the pause of a try or the time of a claim."""
    for turns, member in (("mg-events:due", ""), ("mg-events:due:", "127.0.0.1"), (LANE, "msg_j1")):
        redis.zadd(turns, {member: 0})


def test_a_sender_that_dies_leaves_its_deliveries_to_another(
    redis: Redis, jobs: Jobs, make: Callable[..., Service], hook: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    end(redis, jobs, webhook=hook.url)
    hook.answers = [None]
    first = make("127.0.0.1")
    run_until(first, lambda: hook.received, "the first one has sent it, and gets no answer")
    second = make("127.0.0.1")
    second.step()
    assert len(hook.received) == 1, "the delivery is claimed"
    due_now(redis)
    run_until(second, lambda: delivered(redis, "j1") == ["delivered"], "the second one delivers it")
    assert [message.id for message in hook.received] == ["msg_j1"] * 2


def test_a_job_that_is_gone_is_reported_all_the_same(
    redis: Redis, jobs: Jobs, service: Service, hook: Receiver
) -> None:
    end(redis, jobs, webhook=hook.url, caller=key("k", "risk"))
    jobs.delete("j1")
    run_until(service, lambda: hook.received, "it is reported")
    assert hook.bodies()[0]["data"] == {
        "id": "j1",
        "kind": "prediction",
        "status": "succeeded",
        "model": {"name": "sum", "version": None},
    }


def test_a_long_output_is_a_reference(redis: Redis, jobs: Jobs, service: Service, hook: Receiver) -> None:
    end(redis, jobs, outcome(*[1 / 3] * 10_000), webhook=hook.url)
    run_until(service, lambda: hook.received, "it is reported")
    data = hook.bodies()[0]["data"]
    assert (data["output"], data["status"]) == ({"href": "/v1/jobs/j1"}, "succeeded")


def test_why_a_prediction_failed_has_to_be_read(redis: Redis, jobs: Jobs, service: Service, hook: Receiver) -> None:
    end(redis, jobs, Failure("model_error", "the field secret_income is negative"), webhook=hook.url)
    run_until(service, lambda: hook.received, "it is reported")
    message = hook.bodies()[0]
    assert message["type"] == "prediction.failed" and message["data"]["error"]["code"] == "model_error"
    assert "secret_income" not in json.dumps(message)


@pytest.fixture
def lane(redis: Redis) -> FileTasks:
    Leases(redis).register("w-0-x")
    return FileTasks(redis, "w-0-x")


@pytest.fixture
def files(redis: Redis) -> FileJobs:
    return FileJobs(redis, timeout=30, result_ttl=60)


def test_why_a_file_failed_has_to_be_read(
    redis: Redis, files: FileJobs, lane: FileTasks, service: Service, hook: Receiver
) -> None:
    subscribe(redis, "ops", hook.url, "file_prediction.failed")
    assert files.submit(file_job("f", webhook=hook.url), 10)
    errors = [{"row": 0, "field": "secret_income", "code": "missing_field", "message": "secret_income is missing"}]
    lane.finish(taken(lane), Failure("invalid_instances", "row 0: secret_income is missing", {"errors": errors}))
    run_until(service, lambda: len(hook.received) == 2, "it is reported to its URL and to the subscription")
    for message in hook.bodies():
        assert message["type"] == "file_prediction.failed" and message["data"]["error"]["code"] == "invalid_instances"
        assert message["data"]["error"]["message"] == "GET /v1/jobs/f has the reason"
        assert "secret_income" not in json.dumps(message)


def test_the_warnings_of_a_file_have_to_be_read(
    redis: Redis, files: FileJobs, lane: FileTasks, service: Service, hook: Receiver
) -> None:
    planned(files, lane, "f", 1, webhook=hook.url)
    lane.finish(taken(lane), SCORED)
    lane.finish(taken(lane), {"warnings": ["the column 'default' is the target of the model"]})
    run_until(service, lambda: hook.received, "it is reported")
    message = hook.bodies()[0]
    assert message["type"] == "file_prediction.succeeded" and message["data"]["output"]["rows"] == 10
    assert message["data"]["warnings"] == []


def test_a_subscription_gets_the_events_of_its_owner_and_models(
    redis: Redis, service: Service, hook: Receiver, trained: Callable[..., str]
) -> None:
    for name, owner, models in (
        ("all", "", None),
        ("risk", "risk", None),
        ("other", "sales", None),
        ("x", "", ("iris",)),
    ):
        subscribe(redis, name, hook.url, "training.canceled", owner=owner, models=models)
    subscribe(redis, "never", hook.url, "training.succeeded")
    job_id = trained(owner="risk")
    run_until(service, lambda: len(hook.received) == 2, "two subscriptions get it")
    assert {message.id for message in hook.received} == {f"msg_{job_id}_all", f"msg_{job_id}_risk"}
    assert {body["type"] for body in hook.bodies()} == {"training.canceled"}
    service.step()
    until(lambda: _noted(service, redis), "their last tries are noted")


def _noted(service: Service, redis: Redis) -> bool:
    service.step()
    return set(Webhooks(redis).last_tries()) == {"all", "risk"}


@pytest.fixture
def trained(redis: Redis) -> Callable[..., str]:
    """Submits a training and cancels it; returns its id."""

    def run(owner: str) -> str:
        client = TrainerClient(redis, SIGNER, timeout=600, result_ttl=60)
        made = client.submit(TrainingRequest("sum", "sum"), key("k", owner))
        Jobs(redis, max_queue_rows=10, timeout=30, result_ttl=60).cancel(made.id)
        return made.id

    return run


def test_models_that_are_published_or_promoted_are_reported_once(
    redis: Redis, make: Callable[..., Service], hook: Receiver, models: Path
) -> None:
    subscribe(redis, "ops", hook.url, "model.published", "model.promoted")
    write_version(models, "sum", None, numbers("a"))
    service = make("127.0.0.1")
    service.step()
    service.step()
    assert hook.received == [], "what was there before is no event"
    write_version(models, "sum", None, numbers("a"), version=2)
    write_version(models, "new", None, numbers("a"))
    run_until(service, lambda: len(hook.received) == 4, "both models are reported")
    make("127.0.0.1").step()
    events = sorted((body["type"], body["data"]["name"], body["data"]["version"]) for body in hook.bodies())
    assert events == [
        ("model.promoted", "new", 1),
        ("model.promoted", "sum", 2),
        ("model.published", "new", 1),
        ("model.published", "sum", 2),
    ]
    promoted = next(
        body for body in hook.bodies() if body["type"] == "model.promoted" and body["data"]["name"] == "sum"
    )
    assert promoted["data"]["previous_version"] == 1
    assert len({message.id for message in hook.received}) == 4


def test_a_model_that_is_removed_is_reported_once_and_not_one_whose_aliases_cannot_be_read(
    redis: Redis, make: Callable[..., Service], hook: Receiver, models: Path
) -> None:
    subscribe(redis, "ops", hook.url, "model.removed")
    for name in ("sum", "torn"):
        write_version(models, name, None, numbers("a"))
    service = make("127.0.0.1")
    service.step()
    (models / "torn" / "aliases.json").write_text("{")
    (models / "sum").rename(models / ".sum")
    run_until(service, lambda: hook.received, "the model is reported")
    service.step()
    assert [(body["type"], body["data"]) for body in hook.bodies()] == [
        ("model.removed", {"name": "sum", "version": 1})
    ]


def test_a_sender_of_webhooks_says_that_it_is_alive(redis: Redis, service: Service) -> None:
    def alive() -> float:
        return MetricsReader(redis).read([]).values[ALIVE]["senders",]

    assert alive() == 0
    service.step()
    assert alive() == 1


def test_what_waits_is_measured(redis: Redis, jobs: Jobs) -> None:
    end(redis, jobs, webhook="https://example.org/")
    values = MetricsReader(redis).read([]).values
    assert values[WEBHOOKS_WAITING][()] == 1 and values[WEBHOOKS_AGE][()] >= 0
    assert values[WEBHOOKS] == {("delivered",): 0, ("failed",): 0}
    redis.delete("mg:webhooks:ended")
    redis.set("mg:webhooks:ended", "not a list")
    jobs.delete("j1")
    end(redis, jobs, webhook="https://example.org/")
    assert MetricsReader(redis).read([]).values[WEBHOOKS_WAITING][()] == 0, "a job ends whatever a worker wrote there"

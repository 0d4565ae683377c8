"""Ended jobs and changed models arrive at webhooks: signed, at least once under one id, and at nobody else's."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
from broker.state.boards import HealthBoard
from broker.state.webhook_store import SUBSCRIPTIONS, Webhooks
from contract.errors import Failure
from contract.model.experiments import Ending, Experiment, ExperimentKind, ExperimentPlan
from contract.model.model_health import HealthState, ModelHealth
from contract.model.model_settings import PROTECTED
from contract.model.promotions import Person, PromotionEnding
from contract.model.repository import Repository
from contract.work.jobs import PredictionOutcome
from contract.work.training import TrainingRequest
from contract.work.webhooks import MODEL_EVENTS, AllowedTargets, Format, Subscription, chat_text
from events import sender
from events.sender import Sender
from events.service import EACH_HOST, EACH_OWNER, PER_ROUND, Service
from storage.models.repository_writer import RepositoryWriter
from tests.broker.samples import job, key, outcome, read, scorer, take
from tests.broker.sides.test_files import SCORED, file_job, planned, taken
from tests.stacks.receiver import Receiver, receiver
from tests.support import DEADLINE, SIGNER, numbers, until, write_version
from trainer.publishing.approvals import Approval, ask, decide
from trainer.publishing.experiment_states import end, put

SECRET = b"s" * 32
LANE = "mg-events:due: 127.0.0.1"
"""The deliveries of nobody's jobs to loopback."""
CREATED = "2026-01-02T03:04:05.000006Z"
SCORED_ROW = outcome(3.0)


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failed tries are repeated at once."""
    monkeypatch.setattr(sender, "PAUSES", (0.01,) * 3)


@pytest.fixture
def patiently(monkeypatch: pytest.MonkeyPatch) -> None:
    """A try waits for its answer as long as the test takes."""
    monkeypatch.setattr(sender, "TIMEOUT", DEADLINE)


@pytest.fixture
def make(redis: Redis, models: Path) -> Iterator[Callable[..., Service]]:
    made: list[Service] = []

    def make(*allowed: str) -> Service:
        made.append(Service(redis, Repository(models), Sender([SECRET], AllowedTargets(allowed))))
        return made[-1]

    yield make
    for service in made:
        service.close(lambda: 0)


def run_until(service: Service, condition: Callable[[], Any], what: str) -> Any:
    def step() -> Any:
        service.step()
        return condition()

    return until(step, what)


@dataclass(frozen=True)
class Events:
    """Jobs whose ends `service` reports to `hook`, unless a test names another URL."""

    redis: Redis
    jobs: Jobs
    service: Service
    hook: Receiver

    def end(self, result: PredictionOutcome | Failure = SCORED_ROW, **changes: Any) -> None:
        """Submit the job j1 and let it end with `result`."""
        queue = scorer(Leases(self.redis), self.redis)
        self.jobs.submit([job("j1", **{"webhook": self.hook.url, **changes})])
        assert take(queue) == ["j1"]
        queue.finish({"j1": result})

    def cancel(self, job_id: str, **changes: Any) -> None:
        """Submit a job and cancel it."""
        self.jobs.submit([job(job_id, **{"webhook": self.hook.url, **changes})])
        self.jobs.cancel(job_id)

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        return run_until(self.service, condition, what)

    def deliveries(self, job_id: str = "j1") -> Any:
        return Webhooks(self.redis).deliveries(job_id)

    def tried(self, job_id: str = "j1") -> Any:
        """Return the deliveries of a job once one of them was tried."""
        deliveries = self.deliveries(job_id)
        return deliveries if deliveries and deliveries[0]["tries"] else None

    def statuses(self, job_id: str = "j1") -> list[str]:
        return [delivery["status"] for delivery in self.deliveries(job_id)]

    def subscribe(self, name: str, *events: str, owner: str = "", models: Any = None) -> None:
        subscription = Subscription(name, self.hook.url, events, CREATED, owner, models)
        assert Webhooks(self.redis).replace(name, None, subscription)

    def metrics(self) -> Any:
        return MetricsReader(self.redis).read([]).values


@pytest.fixture
def events(redis: Redis, make: Callable[..., Service]) -> Iterator[Events]:
    jobs = Jobs(redis, max_queue_rows=100, timeout=30, result_ttl=60)
    with receiver() as hook:
        yield Events(redis, jobs, make("127.0.0.0/8"), hook)


def test_the_url_of_a_job_gets_its_end_signed(events: Events) -> None:
    events.end()
    events.until(lambda: events.statuses() == ["delivered"], "the webhook is delivered")
    (got,) = events.hook.received
    assert got.path == "/hook?token=1" and got.headers["Host"] == f"127.0.0.1:{events.hook.port}"
    assert got.id == "msg_j1" and got.headers["Content-Type"] == "application/json"
    signed = f"msg_j1.{got.headers['webhook-timestamp']}.".encode() + got.body
    digest = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
    assert got.headers["webhook-signature"] == f"v1,{digest}"
    assert abs(int(got.headers["webhook-timestamp"]) - time.time()) < 300
    message = got.json
    assert message["type"] == "prediction.succeeded" and message["timestamp"] == message["data"]["completed_at"]
    assert message["data"]["id"] == "j1" and message["data"]["output"]["predictions"] == [3.0]
    assert "worker" not in message["data"]
    (delivery,) = events.deliveries()
    assert (delivery["webhook"], delivery["url"], len(delivery["tries"])) == (None, events.hook.url, 1)


def test_a_job_without_a_url_is_not_reported(events: Events) -> None:
    events.end(webhook="")
    events.service.step()
    assert events.redis.llen("mg:webhooks:ended") == 0 and events.redis.zcard("mg-events:due") == 0


@pytest.mark.usefixtures("quickly")
def test_a_failed_try_is_repeated_under_the_same_id(events: Events) -> None:
    events.hook.answers = [(500, {}), (302, {"Location": "/elsewhere"})]
    events.end()
    events.until(lambda: events.statuses() == ["delivered"], "the third try succeeds")
    assert [message.id for message in events.hook.received] == ["msg_j1"] * 3
    assert {message.path for message in events.hook.received} == {"/hook?token=1"}, "no redirect is followed"
    (delivery,) = events.deliveries()
    assert [(attempt["status"], attempt["error"]) for attempt in delivery["tries"]] == [
        (500, None),
        (302, "redirects are not followed"),
        (204, None),
    ]


@pytest.mark.usefixtures("quickly")
def test_what_fails_too_often_or_is_gone_is_given_up(events: Events) -> None:
    events.hook.answers = [(410, {})]
    events.end()
    events.until(lambda: events.statuses() == ["failed"], "410 ends it")
    assert len(events.hook.received) == 1
    events.hook.answers = [(503, {})] * 9
    events.jobs.delete("j1")
    events.redis.delete("mg-events:delivery:msg_j1")
    events.end()
    events.until(lambda: events.statuses() == ["failed"], "four tries end it")
    assert len(events.hook.received) == 5
    counted = events.metrics()
    events.until(lambda: events.metrics()[WEBHOOK_TRIES]["failed",] == 5, "they are counted")
    assert counted[WEBHOOKS_WAITING][()] == 0


def test_a_receiver_can_put_off_the_next_try(events: Events) -> None:
    events.hook.answers = [(429, {"Retry-After": "1000"})]
    events.end()
    (delivery,) = events.until(lambda: events.hook.received and events.tried(), "a try is noted")
    assert delivery["status"] == "pending"
    wait = events.redis.zscore(LANE, "msg_j1") / 1000 - time.time()  # type: ignore[operator]
    assert 900 < wait < 1001


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_address_that_is_not_public_gets_nothing(events: Events, make: Callable[..., Service], host: str) -> None:
    events.end(webhook=f"http://{host}:{events.hook.port}/")
    (delivery,) = run_until(make(), events.tried, "a try is noted")
    assert "which is not public (WEBHOOK_ALLOW)" in delivery["tries"][0]["error"]
    assert events.hook.received == []


def test_a_host_can_be_allowed_by_its_name(events: Events, make: Callable[..., Service]) -> None:
    events.end(webhook=f"http://localhost:{events.hook.port}/")
    run_until(make("localhost"), lambda: events.statuses() == ["delivered"], "it is delivered")
    assert events.hook.received[0].headers["Host"] == f"localhost:{events.hook.port}"


def test_a_receiver_that_does_not_answer_is_given_up_after_a_while(
    events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "TIMEOUT", 0.5)
    events.hook.answers = [None]
    events.end()
    (delivery,) = events.until(events.tried, "a try is noted")
    assert delivery["tries"][0]["error"] == "no answer within 0.5 s"


@pytest.mark.usefixtures("patiently")
def test_a_receiver_that_does_not_answer_holds_up_no_other(events: Events) -> None:
    events.hook.answers = [None] * 10
    with receiver() as other:
        events.jobs.submit([job(f"s{n}", webhook=events.hook.url) for n in range(10)])
        events.jobs.submit([job("quick", webhook=other.url.replace("127.0.0.1", "localhost"))])
        for name in (*(f"s{n}" for n in range(10)), "quick"):
            events.jobs.cancel(name)
        events.until(lambda: other.received, "the other one is delivered")
        assert other.bodies()[0]["type"] == "prediction.canceled"
        assert len(events.hook.received) <= EACH_HOST


@pytest.mark.usefixtures("patiently")
def test_a_host_that_does_not_answer_delays_no_other_whatever_waits_for_it(events: Events) -> None:
    events.hook.answers = [None] * 40
    many = Jobs(events.redis, max_queue_rows=2000, timeout=30, result_ttl=60)
    names = [f"s{n}" for n in range(1000)]
    many.submit([job(name, webhook=events.hook.url) for name in names])
    for name in names:
        events.jobs.cancel(name)
    events.until(lambda: events.redis.hget("mg-events:waiting", "") == b"1000", "all are planned")
    with receiver() as other:
        events.cancel("quick", webhook=other.url.replace("127.0.0.1", "localhost"))
        events.service.step()
        until(lambda: other.received, "the other one is sent in this round")
        assert len(events.hook.received) <= EACH_HOST


@pytest.mark.usefixtures("patiently")
def test_an_owner_whose_hosts_do_not_answer_leaves_senders_to_others(events: Events) -> None:
    names = [f"s{n}" for n in range(100)]
    with receiver(address="") as slow:
        slow.answers = [None] * 100
        for number, name in enumerate(names):
            url = slow.url.replace("127.0.0.1", f"127.0.0.{2 + number % 20}")
            events.cancel(name, webhook=url, caller=key("k", "slow"))
        events.until(lambda: len(slow.received) == EACH_OWNER, "the slow owner has its share")
        events.cancel("quick", caller=key("k", "other"))
        events.service.step()
        until(lambda: events.hook.received, "the other one is sent in this round")
        assert len(slow.received) == EACH_OWNER


def test_a_flood_of_ends_is_planned_without_pauses(events: Events) -> None:
    """Ends have one list for all owners."""
    events.end(webhook="https://example.org/")
    (entry,) = events.redis.lrange("mg:webhooks:ended", 0, -1)
    for number in range(2 * PER_ROUND):
        events.redis.rpush("mg:webhooks:ended", json.dumps({**json.loads(entry), "id": f"j{number + 2}"}))
    assert [events.service.step() for _ in range(3)] == [True, True, False]
    assert not events.redis.exists("mg:webhooks:ended")


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


def test_an_owner_has_so_many_waiting_and_others_are_given_up(events: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("broker.sides.deliveries.MOST_WAITING", 2)
    events.hook.answers = [(500, {})] * 2
    for name in ("a", "b", "c"):
        events.cancel(name)
    events.until(lambda: events.statuses("c") == ["failed"], "the third is given up")
    (delivery,) = events.deliveries("c")
    assert "2 webhooks of its owner wait already" in delivery["tries"][0]["error"]
    assert events.statuses("a") == events.statuses("b") == ["pending"]
    events.until(lambda: events.metrics()[WEBHOOKS]["failed",] == 1, "it is counted")
    assert events.metrics()[WEBHOOKS_WAITING][()] == 2


def test_a_webhook_waits_without_the_output_of_its_job(events: Events) -> None:
    events.hook.answers = [(500, {})]
    events.end(outcome(*[1 / 3] * 2_000))
    events.until(events.tried, "a try has failed")
    assert len(events.hook.bodies()[0]["data"]["output"]["predictions"]) == 2_000
    stored = b"".join(events.redis.hgetall("mg-events:delivery:msg_j1").values())
    assert b"0.333" not in stored and len(stored) < 500  # what they take in Redis depends on its allocator


def test_webhooks_are_gone_with_their_job(events: Events) -> None:
    events.hook.answers = [(500, {}), (204, {})]
    for name in ("a", "b"):
        events.cancel(name)
        events.until(lambda name=name: events.tried(name), "a try is noted")  # type: ignore[misc]
    assert {events.statuses(name)[0] for name in "ab"} == {"pending", "delivered"}
    assert 0 < events.redis.ttl("mg-events:delivery:msg_b") <= 60, "its job is kept for a minute"
    assert events.jobs.delete("a") and events.jobs.delete("b")
    assert set(events.redis.keys("mg-events:*")) <= {b"mg-events:models", b"mg-events:alive"}


def test_what_waits_for_an_owner_or_a_host_can_be_deleted(events: Events, make: Callable[..., Service]) -> None:
    webhooks, service = Webhooks(events.redis), make()
    for name, owner, url in (
        ("a", "risk", "http://127.0.0.1:9/"),
        ("b", "risk", "http://localhost:9/"),
        ("c", "sales", "http://127.0.0.1:9/"),
    ):
        events.cancel(name, webhook=url, caller=key("k", owner))
    run_until(service, lambda: webhooks.waiting() == {"risk": 2, "sales": 1}, "all wait")
    assert webhooks.delete_waiting("risk", "localhost") == 1 and webhooks.deliveries("b") == []
    assert webhooks.delete_waiting("risk") == 1 and webhooks.delete_waiting("risk") == 0
    assert webhooks.waiting() == {"sales": 1}


def test_a_full_redis_gets_no_deliveries_and_sends_those_that_it_has(events: Events) -> None:
    events.hook.answers = [(500, {})]
    events.end()
    events.until(events.tried, "one waits")
    events.cancel("late")
    events.redis.config_set("maxmemory", 1)
    try:
        for _ in range(5):
            events.service.step()
        assert events.deliveries("late") == [] and events.redis.llen("mg:webhooks:ended") == 1
        events.redis.config_set("maxmemory", 0)
        due_now(events.redis)
        events.redis.config_set("maxmemory", 1)
        events.until(lambda: events.statuses() == ["delivered"], "what waited before is sent")
    finally:
        events.redis.config_set("maxmemory", 0)
    events.until(lambda: events.statuses("late") == ["delivered"], "with room it is sent")


def due_now(redis: Redis) -> None:
    """Let a delivery be due, as after the pause of a try or the time of a claim."""
    for turns, member in (("mg-events:due", ""), ("mg-events:due:", "127.0.0.1"), (LANE, "msg_j1")):
        redis.zadd(turns, {member: 0})


def test_a_sender_that_dies_leaves_its_deliveries_to_another(events: Events, make: Callable[..., Service]) -> None:
    events.end()
    events.hook.answers = [None]
    first = make("127.0.0.1")
    run_until(first, lambda: events.hook.received, "the first one has sent it, and gets no answer")
    second = make("127.0.0.1")
    second.step()
    assert len(events.hook.received) == 1, "the delivery is claimed"
    due_now(events.redis)
    run_until(second, lambda: events.statuses() == ["delivered"], "the second one delivers it")
    assert [message.id for message in events.hook.received] == ["msg_j1"] * 2


def test_a_job_that_is_gone_is_reported_all_the_same(events: Events) -> None:
    events.end(caller=key("k", "risk"))
    events.jobs.delete("j1")
    events.until(lambda: events.hook.received, "it is reported")
    assert events.hook.bodies()[0]["data"] == {
        "id": "j1",
        "kind": "prediction",
        "status": "succeeded",
        "model": {"name": "sum", "version": None},
    }


def test_a_long_output_is_a_reference(events: Events) -> None:
    events.end(outcome(*[1 / 3] * 10_000))
    events.until(lambda: events.hook.received, "it is reported")
    data = events.hook.bodies()[0]["data"]
    assert (data["output"], data["status"]) == ({"href": "/v1/jobs/j1"}, "succeeded")


def test_why_a_prediction_failed_has_to_be_read(events: Events) -> None:
    events.end(Failure("model_error", "the field secret_income is negative"))
    events.until(lambda: events.hook.received, "it is reported")
    message = events.hook.bodies()[0]
    assert message["type"] == "prediction.failed" and message["data"]["error"]["code"] == "model_error"
    assert "secret_income" not in json.dumps(message)


@pytest.fixture
def lane(redis: Redis) -> FileTasks:
    Leases(redis, lease=60).register("w-0-x")
    return FileTasks(redis, "w-0-x")


@pytest.fixture
def files(redis: Redis) -> FileJobs:
    return FileJobs(redis, timeout=30, result_ttl=60)


def test_why_a_file_failed_has_to_be_read(events: Events, files: FileJobs, lane: FileTasks) -> None:
    events.subscribe("ops", "file_prediction.failed")
    assert files.submit(file_job("f", webhook=events.hook.url), 10)
    errors = [{"row": 0, "field": "secret_income", "code": "missing_field", "message": "secret_income is missing"}]
    lane.finish(taken(lane), Failure("invalid_instances", "row 0: secret_income is missing", {"errors": errors}))
    events.until(lambda: len(events.hook.received) == 2, "it is reported to its URL and to the subscription")
    for message in events.hook.bodies():
        assert message["type"] == "file_prediction.failed" and message["data"]["error"]["code"] == "invalid_instances"
        assert message["data"]["error"]["message"] == "GET /v1/jobs/f has the reason"
        assert "secret_income" not in json.dumps(message)


def test_a_job_with_half_of_a_surrogate_pair_is_delivered(events: Events) -> None:
    """UTF-8 has no bytes for it, and JSON has an escape."""
    events.end(PredictionOutcome(["\ud800"], None, [], 1.0, 1))
    events.until(lambda: events.hook.received, "it is reported")
    assert events.hook.bodies()[0]["data"]["output"]["predictions"] == ["\ud800"]


def test_warnings_about_the_data_of_a_model_have_to_be_read(events: Events) -> None:
    events.end(PredictionOutcome([3.0], None, ["'income' is far from what training saw"], 1.0, 1), warnings=["sent"])
    events.until(lambda: events.hook.received, "it is reported")
    assert events.hook.bodies()[0]["data"]["warnings"] == ["sent"]
    assert read(events.jobs, "j1").warnings == ["sent", "'income' is far from what training saw"]


def test_the_warnings_of_a_file_have_to_be_read(events: Events, files: FileJobs, lane: FileTasks) -> None:
    planned(files, lane, "f", 1, webhook=events.hook.url)
    lane.finish(taken(lane), SCORED)
    lane.finish(taken(lane), {"warnings": ["the column 'default' is the target of the model"]})
    events.until(lambda: events.hook.received, "it is reported")
    message = events.hook.bodies()[0]
    assert message["type"] == "file_prediction.succeeded" and message["data"]["output"]["rows"] == 10
    assert message["data"]["warnings"] == []


def test_a_subscription_gets_the_events_of_its_owner_and_models(events: Events, trained: Callable[..., str]) -> None:
    for name, owner, models in (
        ("all", "", None),
        ("risk", "risk", None),
        ("other", "sales", None),
        ("x", "", ("iris",)),
    ):
        events.subscribe(name, "training.canceled", owner=owner, models=models)
    events.subscribe("never", "training.succeeded")
    job_id = trained(owner="risk")
    events.until(lambda: len(events.hook.received) == 2, "two subscriptions get it")
    assert {message.id for message in events.hook.received} == {f"msg_{job_id}_all", f"msg_{job_id}_risk"}
    assert {body["type"] for body in events.hook.bodies()} == {"training.canceled"}
    events.service.step()
    events.until(lambda: set(Webhooks(events.redis).last_tries()) == {"all", "risk"}, "their last tries are noted")


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
    events: Events, make: Callable[..., Service], models: Path
) -> None:
    events.subscribe("ops", "model.published", "model.promoted")
    write_version(models, "sum", None, numbers("a"))
    service = make("127.0.0.1")
    service.step()
    service.step()
    assert events.hook.received == [], "what was there before is no event"
    write_version(models, "sum", None, numbers("a"), version=2)
    write_version(models, "new", None, numbers("a"))
    events.until(lambda: len(events.hook.received) == 4, "both models are reported")
    make("127.0.0.1").step()
    reported = sorted((body["type"], body["data"]["name"], body["data"]["version"]) for body in events.hook.bodies())
    assert reported == [
        ("model.promoted", "new", 1),
        ("model.promoted", "sum", 2),
        ("model.published", "new", 1),
        ("model.published", "sum", 2),
    ]
    promoted = next(
        body for body in events.hook.bodies() if body["type"] == "model.promoted" and body["data"]["name"] == "sum"
    )
    assert promoted["data"]["previous_version"] == 1
    assert len({message.id for message in events.hook.received}) == 4


def test_a_chat_gets_a_sentence_about_a_training_and_about_a_model(
    events: Events, trained: Callable[..., str], models: Path
) -> None:
    write_version(models, "sum", None, numbers("a"))
    events.service.step()
    of = ("training.canceled", "model.promoted")
    Webhooks(events.redis).replace("chat", None, Subscription("chat", events.hook.url, of, CREATED, format=Format.CHAT))
    trained(owner="risk")
    write_version(models, "sum", None, numbers("a"), version=2)
    events.until(lambda: len(events.hook.received) == 2, "both arrive")
    texts = sorted(body["text"] for body in events.hook.bodies())
    assert texts == ["sum: a training was cancelled", "sum@2: another version is current"]
    assert all(body.keys() == {"text"} for body in events.hook.bodies())
    mention = {"model": {"name": "loan", "version": None}, "error": {"message": "<!channel> & <@U1>"}}
    text = "loan: a training failed. &lt;!channel&gt; &amp; &lt;@U1&gt;"
    assert chat_text("training.failed", mention) == text


def test_a_subscription_of_an_earlier_release_gets_standard_webhooks(redis: Redis) -> None:
    stored = Subscription("ops", "https://hooks.example.org/", ("training.failed",), CREATED).to_json()
    del stored["format"]
    redis.hset(SUBSCRIPTIONS, "ops", json.dumps(stored))
    assert [one.format for one in Webhooks(redis).all()] == [Format.STANDARD]


def test_a_model_that_is_removed_is_reported_once_and_not_one_whose_aliases_cannot_be_read(
    events: Events, make: Callable[..., Service], models: Path
) -> None:
    events.subscribe("ops", "model.removed")
    for name in ("sum", "torn"):
        write_version(models, name, None, numbers("a"))
    service = make("127.0.0.1")
    service.step()
    (models / "torn" / "aliases.json").write_text("{")
    (models / "sum").rename(models / ".sum")
    events.until(lambda: events.hook.received, "the model is reported")
    service.step()
    assert [(body["type"], body["data"]) for body in events.hook.bodies()] == [
        ("model.removed", {"name": "sum", "version": 1})
    ]


def test_what_is_found_about_a_current_version_is_reported_whenever_it_changes(
    events: Events, make: Callable[..., Service], models: Path
) -> None:
    events.subscribe("ops", "model.drifted", "model.degraded", "model.recovered")
    write_version(models, "sum", None, numbers("a"))
    write_version(models, "sum", None, numbers("a"), version=2, current=False)
    board, service = HealthBoard(events.redis), make("127.0.0.1")
    service.step()

    def reported(state: HealthState, *findings: str, version: int = 1) -> Any:
        seen = len(events.hook.received)
        board.say(f"sum@{version}", ModelHealth(state, findings, f"2026-11-27T09:00:{seen:02}+00:00"))
        events.until(lambda: len(events.hook.received) > seen, "the change is reported")
        body = events.hook.bodies()[-1]
        return body["type"], body["data"]

    board.say("sum@2", ModelHealth(HealthState.DRIFTED, ("b",), CREATED))
    drifted = {"name": "sum", "version": 1, "findings": ["a"]}
    assert reported(HealthState.DRIFTED, "a") == ("model.drifted", drifted), "version 2 is not current"
    assert reported(HealthState.DRIFTED, "a", "b")[1]["findings"] == ["a", "b"]
    assert reported(HealthState.DEGRADED, "a")[0] == "model.degraded"
    assert reported(HealthState.OK) == ("model.recovered", {**drifted, "findings": []})
    make("127.0.0.1").step()
    assert len(events.hook.received) == 4


def test_the_end_of_an_experiment_is_reported_once(events: Events, make: Callable[..., Service], models: Path) -> None:
    events.subscribe("ops", "model.experiment_ended", "model.drifted", "model.recovered")
    write_version(models, "sum", None, numbers("a"))
    plan, later = ExperimentPlan(ExperimentKind.SHADOW), "2999-01-01T00:00:00Z"
    repository, service = RepositoryWriter(models), make("127.0.0.1")

    def run(id: str, ending: Ending | None = None) -> None:  # noqa: A002
        repository.change("sum", lambda state: put(state, Experiment(id, 1, 2, plan, CREATED, later, 1, CREATED)))
        if ending:
            repository.change("sum", lambda state: end(state, id, ending, "it is worse"))

    run("x1", Ending.STOPPED)
    service.step()
    run("x2")
    service.step()
    assert events.hook.received == [], "what was there before is no event, nor is one that begins"
    run("x2", Ending.ROLLED_BACK)
    run("x3", Ending.UNDECIDED)
    events.until(lambda: len(events.hook.received) == 2, "both are reported")
    HealthBoard(events.redis).say("sum@1", ModelHealth(HealthState.DRIFTED, ("a",), CREATED))
    events.until(lambda: len(events.hook.received) == 3, "the drift is reported")
    HealthBoard(events.redis).say("sum@1", None)
    events.until(lambda: len(events.hook.received) == 4, "its end is reported")
    make("127.0.0.1").step()
    by_type = {kind: [b["data"] for b in events.hook.bodies() if b["type"] == kind] for kind in MODEL_EVENTS}
    assert [len(by_type[f"model.{word}"]) for word in ("experiment_ended", "drifted", "recovered")] == [2, 1, 1]
    shown = {"id": "x2", "kind": "shadow", "ending": "rolled_back", "reason": "it is worse"}
    assert {"name": "sum", "version": 2, "experiment": shown} in by_type["model.experiment_ended"]


def test_a_promotion_that_waits_for_a_second_person_is_reported_once(
    events: Events, make: Callable[..., Service], models: Path
) -> None:
    events.subscribe("ops", *MODEL_EVENTS)
    write_version(models, "sum", None, numbers("a"))
    write_version(models, "sum", None, numbers("a"), version=2, current=False)
    repository, service, ann = RepositoryWriter(models), make("127.0.0.1"), Person("ann", "ann", "key_a")
    repository.change("sum", lambda state: setattr(state, "settings", {PROTECTED: True}))
    service.step()
    first, _ = ask(repository, "sum", 2, ann, "better")
    events.until(lambda: len(events.hook.received) == 1, "the request is reported")
    second, _ = ask(repository, "sum", None, ann)
    events.until(lambda: len(events.hook.received) == 2, "another request is reported")
    decide(repository, "sum", Approval(second.id, ann), PromotionEnding.WITHDRAWN)
    service.step()
    make("127.0.0.1").step()
    asked = [{"id": first.id, "asker": "ann", "note": "better"}, {"id": second.id, "asker": "ann", "note": ""}]
    assert [(body["type"], body["data"]) for body in events.hook.bodies()] == [
        ("model.promotion_asked", {"name": "sum", "version": 2, "promotion": asked[0]}),
        ("model.promotion_asked", {"name": "sum", "version": None, "promotion": asked[1]}),
    ]
    data = events.hook.bodies()[0]["data"]
    assert chat_text("model.promotion_asked", data) == "sum@2: a second person has to approve a change. better"


def test_a_sender_of_webhooks_says_that_it_is_alive(events: Events) -> None:
    def alive() -> float:
        return events.metrics()[ALIVE]["senders",]

    assert alive() == 0
    events.service.step()
    assert alive() == 1


def test_what_waits_is_measured(events: Events) -> None:
    events.end(webhook="https://example.org/")
    values = events.metrics()
    assert values[WEBHOOKS_WAITING][()] == 1 and values[WEBHOOKS_AGE][()] >= 0
    assert values[WEBHOOKS] == {("delivered",): 0, ("failed",): 0}
    events.redis.delete("mg:webhooks:ended")
    events.redis.set("mg:webhooks:ended", "not a list")
    events.jobs.delete("j1")
    events.end(webhook="https://example.org/")
    assert events.metrics()[WEBHOOKS_WAITING][()] == 0, "a job ends whatever a worker wrote there"

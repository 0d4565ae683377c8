"""`GET /metrics`: the whole system as Prometheus' text."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from broker.metrics.table import METRICS, Type
from broker.sides.supervisor import Leases
from contract.settings import Settings
from contract.work.api_keys import Key, Scope, new_token
from contract.work.jobs import timestamp
from gateway.app import create_app
from gateway.serving import metrics as serving
from tests.gateway.callers import ADMIN_KEY, store
from tests.gateway.conftest import without_redis
from tests.stacks.redis_process import RedisProcess
from tests.support import DEADLINE, Sum, numbers, until, write_version

pytestmark = pytest.mark.waits

PREDICT = "/v1/models/<reference>/predict"
PATH = "/v1/models/sum/predict"
ROW = {"a": 1, "b": 2}


@dataclasses.dataclass
class Page:
    """The samples of a page by name and labels."""

    text: str

    def __post_init__(self) -> None:
        self._samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(self.text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        return self._samples.get((f"modelgate_{name}", frozenset(labels.items())))

    def series(self, name: str) -> list[dict[str, str]]:
        return [dict(labels) for sample, labels in self._samples if sample == f"modelgate_{name}"]


@pytest.fixture(autouse=True)
def every_page_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "KEEP", -1.0)
    monkeypatch.setattr(serving, "KEEP_FACTOR", -1)


def page(client: FlaskClient, **headers: str) -> Page:
    """The page, once what the gateway has counted is in Redis."""
    client.application.extensions["outbox"].flush()
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    return Page(answer.get_data(as_text=True))


def test_requests_are_counted_by_declared_route_and_status(client: FlaskClient, scoring: None) -> None:
    for _ in range(3):
        assert client.post(PATH, json=ROW, headers={"Prefer": "wait=30"}).status_code == 200
    assert client.post(PATH, json={"a": "x", "b": 2}).status_code == 422
    assert client.get("/v1/jobs/0").status_code == 404
    shown = page(client)
    assert shown.value("requests_total", route=PREDICT, method="POST", status="200") == 3
    assert shown.value("requests_total", route=PREDICT, method="POST", status="422") == 1
    assert shown.value("request_seconds_count", route=PREDICT) == 4
    assert shown.value("request_seconds_bucket", route=PREDICT, le="+Inf") == 4
    assert shown.value("gateway_seconds_count") == 3
    assert shown.value("refusals_total", code="unknown_job") == 1
    assert shown.value("model_requests_by_version_total", model="sum", version="1", outcome="answered") == 3
    assert shown.value("model_requests_by_version_total", model="sum", version="1", outcome="refused") == 1
    assert shown.value("model_seconds_by_version_count", model="sum", version="1") == 3


def test_no_request_can_add_a_series(client: FlaskClient) -> None:
    client.get("/v1/models")
    before = page(client)
    for number in range(20):
        client.get(f"/v1/jobs/{number:032x}")
        client.get(f"/nowhere/{number}")
        client.post(f"/v1/models/model-{number}/predict", json=ROW)
        client.open("/v1/models", method=f"METHOD{number}")
    after = page(client)
    added = [labels for labels in after.series("requests_total") if labels not in before.series("requests_total")]
    assert sorted((labels["route"], labels["method"]) for labels in added) == [
        ("/metrics", "GET"),  # the page before
        ("/v1/jobs/<job_id>", "GET"),
        (PREDICT, "POST"),
        ("unknown", "GET"),
        ("unknown", "other"),
    ]
    assert after.value("requests_total", route="unknown", method="GET", status="404") == 20
    assert not [labels for labels in after.series("jobs_total") if labels["model"] != "sum"]


def test_the_oldest_models_have_series(
    client: FlaskClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys that may train or publish name models and aliases."""
    monkeypatch.setattr(serving, "MOST_MODELS", 2)
    monkeypatch.setattr(serving, "MOST_ALIASES", 1)
    for day, model in enumerate(("a2", "a1"), start=3):
        write_version(settings.models_dir, model, Sum(), numbers("a"), created_at=f"2026-01-0{day}T03:04:05Z")
    aliases = settings.models_dir / "sum" / "aliases.json"
    aliases.write_text(json.dumps({"current": 1, "a": 1}))
    shown = page(client)
    for name in ("model_versions", "model_alias_version", "queue_jobs"):
        assert sorted(labels["model"] for labels in shown.series(name)) == ["a2", "sum"], name
    assert shown.value("models") == 3


def test_any_host_may_read_the_metrics(client: FlaskClient) -> None:
    assert page(client, Host="prometheus.example").value("redis_up") == 1


def test_a_waiting_job_has_an_age_and_a_share_of_the_memory(client: FlaskClient) -> None:
    assert page(client).value("queue_oldest_seconds", model="sum") == 0
    for _ in range(2):
        assert client.post(PATH, json=[ROW, ROW]).status_code == 202
    shown = page(client)
    assert shown.value("queue_jobs", model="sum") == 2
    assert shown.value("queue_rows", model="sum") == 4
    assert until(lambda: page(client).value("queue_oldest_seconds", model="sum") or 0, "the job gets older") > 0
    assert 1000 < (shown.value("redis_share_bytes", purpose="jobs") or 0) < 10_000


def test_the_shares_add_up_to_the_memory_of_redis(client: FlaskClient, scoring: None) -> None:
    client.post(PATH, json=ROW, headers={"Prefer": "wait=30"})
    shown = page(client)
    shares = [shown.value("redis_share_bytes", **labels) or 0 for labels in shown.series("redis_share_bytes")]
    assert {labels["purpose"] for labels in shown.series("redis_share_bytes")} == {
        *("jobs", "unseen", "fetched", "delivered", "trainings", "metrics", "other")
    }
    assert sum(shares) == shown.value("redis_memory_bytes")


def test_scorers_and_versions_are_counted(client: FlaskClient, scoring: None) -> None:
    shown = page(client)
    assert shown.value("workers") == 1
    assert (shown.value("scorers", state="idle") or 0) + (shown.value("scorers", state="busy") or 0) == 1
    assert shown.value("models") == 1
    assert shown.value("model_versions", model="sum") == 1
    assert shown.value("model_alias_version", model="sum", alias="current") == 1


def test_keys_that_expire_soon_are_counted_unless_they_were_made_for_less(client: FlaskClient, redis: Redis) -> None:
    assert page(client).value("keys_expiring") == 0
    now = datetime.now(UTC)
    for number, (age, left) in enumerate([(80, 10), (1, 6), (80, 20), (80, -1), (80, 1)]):
        made, end = (timestamp(now + timedelta(days=days)) for days in (-age, left))
        store(redis, new_token(), Key(f"k-{number}", "n", "o", frozenset(Scope), created_at=made, expires_at=end))
    assert page(client, Authorization=f"Bearer {ADMIN_KEY}").value("keys_expiring") == 2


def test_a_deleted_model_leaves_the_page(client: FlaskClient, settings: Settings) -> None:
    assert page(client).value("queue_jobs", model="sum") == 0
    shutil.rmtree(settings.models_dir / "sum")
    assert page(client).value("queue_jobs", model="sum") is None


def test_the_counts_of_all_gateways_are_on_each_page(settings: Settings, redis: Redis) -> None:
    first, other = (create_app(settings).test_client() for _ in range(2))
    for client in (first, other):
        client.get("/v1/models")
        client.application.extensions["outbox"].flush()
    assert page(first).value("requests_total", route="/v1/models", method="GET", status="200") == 2


def test_without_redis_the_page_says_so_and_has_what_the_process_knows(settings: Settings) -> None:
    client = without_redis(settings)
    answer = client.get("/metrics")
    shown = Page(answer.get_data(as_text=True))
    assert answer.status_code == 200
    assert shown.value("redis_up") == 0
    assert shown.value("models") == 1
    assert not shown.series("requests_total")


@pytest.mark.parametrize("most", [DEADLINE, pytest.param(8, marks=pytest.mark.slow)])
def test_a_redis_that_hangs_does_not_keep_prometheus_waiting(settings: Settings, tmp_path: Path, most: float) -> None:
    """Prometheus waits for 10 s. An answer takes less, unless the machine is busy."""
    folder = tmp_path / "own-redis"
    folder.mkdir()
    with RedisProcess(folder) as server:
        client = create_app(dataclasses.replace(settings, redis_url=server.url)).test_client()
        assert Page(client.get("/metrics").get_data(as_text=True)).value("redis_up") == 1
        with server.frozen():
            began = time.monotonic()
            assert Page(client.get("/metrics").get_data(as_text=True)).value("redis_up") == 0
            assert time.monotonic() - began < most


def test_a_page_is_kept_for_a_moment(client: FlaskClient, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "KEEP", 60.0)
    first = client.get("/metrics").get_data()
    client.post(PATH, json=ROW)
    asked = redis.info("commandstats")["cmdstat_info"]["calls"]
    assert client.get("/metrics").get_data() == first
    assert redis.info("commandstats")["cmdstat_info"]["calls"] == asked + 1


def test_a_page_that_redis_did_not_answer_in_time_is_not_kept_for_long(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "KEEP_FACTOR", 1000)
    monkeypatch.setattr(serving, "KEEP", -1.0)
    folder = tmp_path / "own-redis"
    folder.mkdir()
    with RedisProcess(folder) as server:
        client = create_app(dataclasses.replace(settings, redis_url=server.url)).test_client()
        client.get("/v1/models")  # from now on it is known that there are no keys
        with server.frozen():
            assert Page(client.get("/metrics").get_data(as_text=True)).value("redis_up") == 0
        assert Page(client.get("/metrics").get_data(as_text=True)).value("redis_up") == 1


def test_a_page_that_took_long_to_make_is_kept_for_ten_seconds_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "KEEP_FACTOR", 20)
    assert [serving.ttl_of_cost(seconds, 1.0) for seconds in (0.01, 0.1, 5)] == [1, 2, 10]


def test_who_is_alive_is_unknown_while_no_lease_can_be_written(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "own-redis"
    folder.mkdir()
    with RedisProcess(folder) as server, server.connect() as redis:
        client = create_app(dataclasses.replace(settings, redis_url=server.url)).test_client()
        Leases(redis, lease=60).register("w-0-x")
        assert page(client).value("workers") == 1
        redis.delete("mg:lease:w-0-x")
        with server.disk_full():
            shown = page(client)
            assert (shown.value("redis_aof_write_ok"), shown.value("workers"), shown.series("scorers")) == (0, None, [])
        assert page(client).value("workers") == 0


def test_hostile_values_in_the_counters_do_no_harm(client: FlaskClient, redis: Redis) -> None:
    redis.hset("mg:counts:worker", mapping={"batches_total|empty": "1", "batches_total|rows": "x", "nonsense|1": "1"})
    redis.hset("mg:counts:worker", mapping={"requests_total|/|GET|200": "5", "batch_rows|99": "5", "batch_rows": "1"})
    shown = page(client)
    assert shown.value("batches_total", left="empty") == 1
    assert shown.value("batches_total", left="rows") is None
    assert shown.value("requests_total", route="/", method="GET", status="200") is None


def test_the_page_has_nothing_that_the_table_lacks(client: FlaskClient, scoring: None) -> None:
    client.post(PATH, json=ROW, headers={"Prefer": "wait=30"})
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", page(client).text, re.MULTILINE))
    assert types == {metric.name: str(metric.type) for metric in METRICS}
    assert all(metric.name.endswith("_total") == (metric.type is Type.COUNTER) for metric in METRICS)


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is missing: apt-get install prometheus")
def test_promtool_finds_nothing_to_improve(client: FlaskClient, scoring: None) -> None:
    client.post(PATH, json=ROW, headers={"Prefer": "wait=30"})
    text = page(client).text
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_one_of_several_processes_records_the_traffic(settings: Settings, redis: Redis) -> None:
    first, other = (create_app(settings) for _ in range(2))
    assert [app.extensions["traffic_recorder"].record() for app in (first, other, first)] == [True, False, False]

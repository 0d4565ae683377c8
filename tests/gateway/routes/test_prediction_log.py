"""The prediction log over HTTP, with an observer and a scorer beside the gateway."""

from __future__ import annotations

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from flask.testing import FlaskClient
from redis import Redis

from broker.records.job_kinds import OBSERVATION
from broker.records.lease_groups import OBSERVERS
from broker.sides.gateway.observer_client import MOST_OF_OWNER
from broker.sides.single_jobs import SingleJobs
from broker.sides.supervisor import Leases
from broker.state import waited_jobs
from contract.model.repository import Repository
from contract.model.signature import Field, Kind
from contract.settings import Settings
from tests.gateway.observed import Owners, client, make_scorer, models, observer, owners, scoring, settings
from tests.stacks.observer_process import ObserverProcess
from tests.support import SIGNER, Sum, until, write_version

__all__ = ["client", "make_scorer", "models", "observer", "owners", "scoring", "settings"]

MODEL = "/v1/models/sum"
LOG = f"{MODEL}/predictions"


def predict(client: Any, *rows: dict[str, Any], **headers: str) -> str:
    answer = client.post(f"{MODEL}/predict", json=list(rows), headers={"Prefer": "wait=30", **headers})
    assert answer.status_code == 200, answer.text
    return str(answer.get_json()["id"])


def log(client: FlaskClient, **body: Any) -> None:
    assert client.put(f"{MODEL}/logging", json=body).status_code == 200


def test_nothing_is_logged_until_it_is_asked_for(client: FlaskClient, observer: ObserverProcess, scoring: None) -> None:
    assert client.get(f"{MODEL}/logging").get_json() == {"share": 0.0, "leave_out": [], "keep_days": 90}
    predict(client, {"a": 1, "b": 2})
    assert client.get(LOG).get_json() == {"items": [], "next_cursor": None}


@pytest.mark.slow
def test_a_logged_row_is_found_by_id_at_once(client: FlaskClient, observer: ObserverProcess, scoring: None) -> None:
    log(client, share=1)
    job = predict(client, {"a": 1, "b": 2, "key": 4711}, {"a": 3, "b": 4, "key": "x"}, **{"X-Request-ID": "r-1"})
    (row,) = client.get(LOG, query_string={"id": "4711"}).get_json()["items"]
    assert (row["job"], row["row"], row["inputs"], row["prediction"]) == (job, 0, {"a": 1.0, "b": 2.0}, 3.0)
    assert (row["model"], row["request_id"]) == ({"name": "sum", "version": 1, "alias": "current"}, "r-1")
    assert client.get(f"{LOG}?job={job}&row=1").get_json()["items"][0]["id"] == "x"
    assert client.get(f"{LOG}?job={job}&row=7").get_json()["items"] == []


@pytest.mark.slow
def test_rows_of_a_lenient_request_keep_their_numbers(
    client: FlaskClient, observer: ObserverProcess, scoring: None
) -> None:
    log(client, share=1)
    rows = [{"a": "?", "b": 1, "key": 0}, {"a": 1, "b": 1, "key": 1}, {"a": None, "b": 1, "key": 2}, {"a": 2, "b": 2}]
    predict(client, *rows, Prefer="wait=30, handling=lenient")
    items = client.get(LOG).get_json()["items"]
    assert sorted((item["row"], item["id"]) for item in items) == [(1, "1"), (3, None)]


@pytest.mark.slow
def test_what_is_left_out_and_a_name_that_no_version_has(
    client: FlaskClient, observer: ObserverProcess, scoring: None
) -> None:
    log(client, share=1, leave_out=["b", "key"], keep_days=3)
    predict(client, {"a": 1, "b": 2, "key": "Erika"})
    (row,) = client.get(LOG).get_json()["items"]
    assert (row["inputs"], row["left_out"], row["id"]) == ({"a": 1.0, "b": None}, ["b", "key"], None)
    refused = client.put(f"{MODEL}/logging", json={"share": 1, "leave_out": ["kee"]})
    assert refused.status_code == 422
    assert refused.get_json()["detail"] == "no version has an input 'kee' (did you mean 'key'?)"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "share"),
        ({"share": 1.5}, "share"),
        ({"share": True}, "share"),
        ({"share": 1, "leave_out": "b"}, "leave_out"),
        ({"share": 1, "keep_days": 0}, "keep_days"),
        ({"share": 1, "keepdays": 3}, "keepdays"),
    ],
)
def test_a_body_that_cannot_be_used_names_the_field(client: FlaskClient, body: Any, field: str) -> None:
    answer = client.put(f"{MODEL}/logging", json=body)
    assert (answer.status_code, answer.get_json()["errors"][0]["field"]) == (422, field)


def test_changing_another_setting_leaves_logging_as_it_was(client: FlaskClient, settings: Settings) -> None:
    log(client, share=0.5)
    assert client.put(f"{MODEL}/settings", json={"warn_unusual": False}).status_code == 200
    shown = client.get(MODEL).get_json()["settings"]
    assert shown == {
        "warn_unusual": False,
        "logging": {"share": 0.5, "leave_out": [], "keep_days": 90},
        "protected": False,
    }
    assert Repository(settings.models_dir).settings("sum").logging.share == 0.5


@pytest.mark.slow
def test_pages_go_on_and_formats_are_the_same_rows(
    client: FlaskClient, observer: ObserverProcess, scoring: None
) -> None:
    log(client, share=1)
    for number in range(5):
        predict(client, {"a": number, "b": 0, "key": f"k{number}"})
    first = client.get(f"{LOG}?limit=2").get_json()
    second = client.get(f"{LOG}?limit=2&cursor={first['next_cursor']}").get_json()
    third = client.get(f"{LOG}?limit=2&cursor={second['next_cursor']}").get_json()
    ids = [item["id"] for page in (first, second, third) for item in page["items"]]
    assert (ids, third["next_cursor"]) == (["k4", "k3", "k2", "k1", "k0"], None)
    lines = client.get(f"{LOG}?limit=2", headers={"Accept": "application/x-ndjson"})
    assert [json.loads(line) for line in lines.text.splitlines()] == first["items"]
    assert lines.headers["Link"] == f'<?limit=2&cursor={first["next_cursor"]}>; rel="next"'
    table = client.get(LOG, headers={"Accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert [(row["id"], row["inputs.a"], row["prediction"]) for row in rows][:2] == [
        ("k4", "4.0", "4.0"),
        ("k3", "3.0", "3.0"),
    ]
    parquet = client.get(LOG, headers={"Accept": "application/vnd.apache.parquet"})
    file = observer.folder / "page.parquet"
    file.write_bytes(parquet.data)
    with duckdb.connect() as database:
        assert database.execute("SELECT count(*), sum(inputs.a) FROM read_parquet(?)", [str(file)]).fetchall() == [
            (5, 10)
        ]


def test_since_and_until_bound_the_rows(client: FlaskClient, observer: ObserverProcess, scoring: None) -> None:
    log(client, share=1)
    predict(client, {"a": 1, "b": 2})
    (row,) = client.get(LOG).get_json()["items"]
    assert len(client.get(LOG, query_string={"since": row["time"]}).get_json()["items"]) == 1
    assert client.get(LOG, query_string={"until": row["time"]}).get_json()["items"] == []
    assert client.get(LOG, query_string={"version": 2}).get_json()["items"] == []


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "cursor=x", "since=tuesday", "row=-1", "version=a"]
)
def test_a_parameter_that_cannot_be_used_is_refused(client: FlaskClient, query: str) -> None:
    answer = client.get(f"{LOG}?{query}")
    assert (answer.status_code, answer.get_json()["code"]) == (400, "invalid_parameter")
    assert query.partition("=")[0] in answer.get_json()["detail"]


def test_a_share_logs_whole_requests(client: FlaskClient, observer: ObserverProcess, scoring: None) -> None:
    log(client, share=0.5)
    jobs = [predict(client, {"a": 1, "b": 2}, {"a": 1, "b": 2}) for _ in range(40)]
    rows = client.get(f"{LOG}?limit=1000").get_json()["items"]
    logged = {row["job"] for row in rows}
    assert len(rows) == 2 * len(logged)
    share = Repository(Path()).settings("none").logging
    assert logged == {job for job in jobs if replace(share, share=0.5).keeps(job)}
    assert 0 < len(logged) < 40


def test_deleting_a_person_leaves_nothing(
    client: FlaskClient, redis: Redis, observer: ObserverProcess, scoring: None
) -> None:
    log(client, share=1)
    predict(client, {"a": 1, "b": 2, "key": "Erika-Mustermann"}, {"a": 1, "b": 2, "key": "Max"})
    predict(client, {"a": 1, "b": 2, "key": "Erika-Mustermann"})
    assert client.delete(LOG).status_code == 400
    assert client.delete(LOG, query_string={"id": "Erika-Mustermann"}).get_json() == {"deleted": 2}
    assert [row["id"] for row in client.get(LOG).get_json()["items"]] == ["Max"]
    files = [path for path in observer.log.rglob("*") if path.is_file()]
    assert [path for path in files if b"Mustermann" in path.read_bytes()] == []
    observer.stop()
    assert "Mustermann" not in observer.lines


@pytest.mark.slow
def test_owners_see_and_delete_their_own_rows(owners: Owners) -> None:
    admin, risk = owners.admin, owners.risk
    assert [row["owner"] for row in risk("GET", LOG).json["items"]] == ["risk"]
    assert risk("DELETE", f"{LOG}?id=7").json == {"deleted": 1}
    assert risk("GET", LOG).json["items"] == []
    assert [row["owner"] for row in admin("GET", LOG).json["items"]] == ["sales"]


def test_without_an_observer_the_log_is_away_and_predictions_go_on(
    client: FlaskClient, scoring: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waited_jobs, "START_TIMEOUT", 0.1)
    log(client, share=1)
    predict(client, {"a": 1, "b": 2})
    answer = client.get(LOG)
    assert (answer.status_code, answer.get_json()["code"]) == (503, "no_observer")
    assert "start one" in answer.get_json()["detail"]


@pytest.mark.slow
def test_other_methods_are_not_logged(
    client: FlaskClient, settings: Settings, observer: ObserverProcess, scoring: None
) -> None:
    log(client, share=1)
    answer = client.post(f"{MODEL}/transform", json={"a": 1, "b": 2})
    assert answer.status_code == 404
    write_version(settings.models_dir, "other", Sum(), [Field("a", Kind.NUMBER)])
    assert client.get("/v1/models/other/predictions").get_json()["items"] == []


@pytest.mark.slow
def test_health_says_what_is_watched_or_why_nothing_is(
    client: FlaskClient, observer: ObserverProcess, scoring: None
) -> None:
    health = client.get(f"{MODEL}/health").get_json()
    assert (health["name"], health["version"], health["rows"], health["alarms"]) == ("sum", 1, 0, [])
    assert health["profile"] is None and "and 0 are logged" in health["reason"]
    assert client.get(f"{MODEL}/health?version=9").status_code == 404


def test_a_log_that_cannot_be_read_says_so(client: FlaskClient, observer: ObserverProcess, scoring: None) -> None:
    log(client, share=1)
    predict(client, {"a": 1, "b": 2})
    assert len(client.get(LOG).get_json()["items"]) == 1
    (file,) = observer.log.glob("predictions/*/*/*/*.parquet")
    file.write_bytes(b"no parquet")
    answer = client.get(LOG)
    assert (answer.status_code, answer.get_json()["code"]) == (503, "observer_failed")
    assert "the observer failed" in answer.get_json()["detail"]


def test_a_question_at_which_observers_die_twice_is_answered(client: FlaskClient, redis: Redis) -> None:
    leases = Leases(redis, group=OBSERVERS)
    with ThreadPoolExecutor(1) as asking:
        answer = asking.submit(client.get, LOG)
        for death in (0, 1):
            leases.register(f"o-{death}-x", queues=[OBSERVATION.queue])
            queue = SingleJobs(redis, f"o-{death}-x", OBSERVATION, SIGNER)
            until(lambda queue=queue: queue.begin([]), "the question is taken")
            leases.give_back(f"o-{death}-x", scored=None)
        failed = answer.result()
    assert (failed.status_code, failed.get_json()["code"]) == (503, "observer_crashed")


def test_one_caller_cannot_take_all_of_the_observer(client: FlaskClient, redis: Redis) -> None:
    with ThreadPoolExecutor(MOST_OF_OWNER) as asking:
        asked = [asking.submit(client.get, LOG) for _ in range(MOST_OF_OWNER)]
        until(lambda: redis.llen(f"rq:queue:{OBSERVATION.queue}") == MOST_OF_OWNER, "all questions wait")
        answer = client.get(LOG)
        assert (answer.status_code, answer.get_json()["code"]) == (429, "too_many_questions")
        assert {one.result().status_code for one in asked} == {503}  # no observer runs

"""Server-sent events of a job: its progress, its log, its end; and what a client gets that connects again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from flask.testing import FlaskClient
from redis import Redis
from werkzeug.test import TestResponse

from broker.sides.single_jobs import SingleJobs
from contract.work.api_keys import Key, Scope
from contract.work.training import Progress
from gateway.serving import job_events
from tests.broker import samples
from tests.gateway.callers import Caller
from tests.gateway.problems.test_refusals import problem
from tests.support import until

ROW = {"a": 1, "b": 2}
REQUEST = {"recipe": "tabular", "target": "y", "data": {"path": "loan.csv"}}
OUTPUT = {"model": "m", "version": 4, "metrics": {}, "promoted": True, "reason": None}

Event = dict[str, str]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ends the streams that a test leaves open."""
    watchers = set[job_events.JobWatcher]()
    enter = job_events.JobWatcher.enter
    monkeypatch.setattr(
        job_events.JobWatcher, "enter", lambda self, *arguments: watchers.add(self) or enter(self, *arguments)
    )
    yield
    for watcher in watchers:
        watcher._watchers.clear()


@pytest.fixture
def trainer(redis: Redis) -> SingleJobs:
    return samples.trainer(redis, ["tabular"], {"tabular": []})


@pytest.fixture
def predicted(client: FlaskClient) -> str:
    """The id of a prediction that waits."""
    return str(client.post("/v1/models/sum/predict", json=ROW).json["id"])  # type: ignore[index]


def watch(client: FlaskClient, job_id: str, last: str | None = None) -> TestResponse:
    headers = {} if last is None else {"Last-Event-ID": last}
    return client.get(f"/v1/jobs/{job_id}/events", headers=headers, buffered=False)


def parsed(answer: TestResponse) -> Iterator[Event]:
    """Yield the events as a browser reads them; comments have the key `comment`."""
    text = ""
    for piece in answer.iter_encoded():
        text += piece.decode()
        while "\n\n" in text:
            block, _, text = text.partition("\n\n")
            event: Event = {}
            for line in block.split("\n"):
                name, _, value = line.partition(": ")
                name = name or "comment"
                event[name] = event[name] + "\n" + value if name in event else value
            assert "data" in event or "comment" in event  # some clients take any other block for an event
            yield event


def train(client: FlaskClient) -> str:
    job = client.post("/v1/models/m/train", json=REQUEST).json
    assert job
    return str(job["id"])


def report(trainer: SingleJobs, job_id: str, done: int, lines: str, before: int) -> None:
    trainer.report_progress(job_id, Progress("fitting", done / 4, done, 4, "folds").to_json(), lines.encode(), before)


def test_progress_log_and_end_of_a_training_are_streamed(client: FlaskClient, trainer: SingleJobs) -> None:
    job_id = train(client)
    answer = watch(client, job_id)
    assert (answer.status_code, answer.content_type) == (200, "text/event-stream")
    assert (answer.headers["Cache-Control"], answer.headers["X-Accel-Buffering"]) == ("no-store", "no")
    stream = parsed(answer)
    first = next(stream)
    assert (first["event"], first["id"], json.loads(first["data"])) == ("progress", "0", {"status": "queued"})
    assert first["retry"] == "1000"
    assert trainer.begin([])
    assert json.loads(next(stream)["data"])["status"] == "running"
    report(trainer, job_id, 2, "one\ntwo\n", 0)
    progress, log = next(stream), next(stream)
    assert json.loads(progress["data"])["fraction"] == 0.5
    assert (log["event"], log["data"], log["id"]) == ("log", "one\ntwo", "8")
    trainer.finish(job_id, OUTPUT)
    end = next(stream)
    assert (end["event"], end["id"], json.loads(end["data"])["output"]["version"]) == ("end", "end", 4)
    assert list(stream) == []


def test_a_client_that_connects_again_misses_nothing_and_reads_nothing_twice(
    client: FlaskClient, trainer: SingleJobs
) -> None:
    job_id = train(client)
    assert trainer.begin([])
    report(trainer, job_id, 1, "one\ntwo\n", 0)
    logs = [event for event in _until_log(parsed(watch(client, job_id))) if event["event"] == "log"]
    report(trainer, job_id, 2, "three\n", 8)
    trainer.finish(job_id, OUTPUT)
    rest = list(parsed(watch(client, job_id, logs[-1]["id"])))
    assert [event["data"] for event in (*logs, *rest) if event["event"] == "log"] == ["one\ntwo", "three"]
    assert rest[-1]["event"] == "end"
    assert watch(client, job_id, rest[-1]["id"]).status_code == 204


def _until_log(stream: Iterator[Event]) -> Iterator[Event]:
    for event in stream:
        yield event
        if event["event"] == "log":
            return


def test_a_job_that_has_ended_has_its_whole_log_and_its_end(client: FlaskClient, trainer: SingleJobs) -> None:
    job_id = train(client)
    assert trainer.begin([])
    report(trainer, job_id, 1, "a\rb\r\n", 0)
    trainer.finish(job_id, OUTPUT)
    events = list(parsed(watch(client, job_id)))
    assert [event["event"] for event in events] == ["log", "end"]
    assert events[0]["data"] == "a\nb\n"


@pytest.mark.usefixtures("scoring")
def test_the_end_of_a_prediction_is_its_job(client: FlaskClient, predicted: str) -> None:
    (*_, end) = parsed(watch(client, predicted))
    shown = client.get(f"/v1/jobs/{predicted}").json
    assert shown and json.loads(end["data"]) == shown and shown["status"] == "succeeded"


def test_a_job_that_is_deleted_ends_its_stream(client: FlaskClient, redis: Redis, predicted: str) -> None:
    stream = parsed(watch(client, predicted))
    next(stream)
    redis.delete(f"rq:job:{predicted}")
    assert json.loads(next(stream)["data"])["code"] == "unknown_job"


def test_a_silent_stream_says_that_it_is_alive(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, predicted: str
) -> None:
    monkeypatch.setattr(job_events, "SILENCE", 0.05)
    stream = parsed(watch(client, predicted))
    events = (item["event"] for item in stream if "event" in item)  # slow machines are silent before the first event
    assert next(events) == "progress" and "comment" in next(stream)


def test_nothing_is_asked_of_redis_without_streams_and_one_call_for_all_of_them(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    watch_jobs = client.application.extensions["watcher"]._watch
    counting = SimpleNamespace(look=lambda ids: looks.append(len(ids)) or watch_jobs.look(ids))
    monkeypatch.setattr(client.application.extensions["watcher"], "_watch", counting)
    jobs = [client.post("/v1/models/sum/predict", json=ROW).json["id"] for _ in range(3)]  # type: ignore[index]
    answers = [watch(client, job_id) for job_id in jobs]
    for answer in answers:
        next(parsed(answer))
    until(lambda: 3 in looks, "one look at all three jobs")
    for answer in answers:
        answer.close()
    until(lambda: not client.application.extensions["watcher"]._running, "the watcher stops")
    count = len(looks)
    assert client.get("/v1/jobs").status_code == 200 and len(looks) == count


def test_an_unknown_job_and_an_invalid_id_are_refused(client: FlaskClient) -> None:
    problem(watch(client, "none"), 404, "unknown_job")
    problem(watch(client, "none", "x"), 400, "invalid_parameter")


def test_streams_are_limited(closed: FlaskClient, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_events, "MOST_OF_OWNER", 1)
    caller = Caller.with_key(closed, redis, Key("k", "ci", "risk", frozenset({Scope.PREDICT})))
    job = caller("POST", "/v1/models/sum/predict", json=ROW).json
    assert job
    path = f"/v1/jobs/{job['id']}/events"
    first = caller("GET", path, buffered=False)
    refused = caller("GET", path)
    assert problem(refused, 429, "too_many_streams") and refused.headers["Retry-After"]
    first.close()
    assert caller("GET", path, buffered=False).status_code == 200
    other = Caller.with_key(closed, redis, Key("l", "other", "other", frozenset({Scope.PREDICT})))
    problem(other("GET", path), 404, "unknown_job")


def test_a_stopping_process_ends_its_streams(client: FlaskClient, predicted: str) -> None:
    stream = parsed(watch(client, predicted))
    next(stream)
    client.application.extensions["watcher"].release()
    assert list(stream) == []


# Cancel, and the filters of the list


def test_cancel_ends_a_job_and_never_deletes_one(client: FlaskClient, predicted: str) -> None:
    for _ in range(2):
        answer = client.post(f"/v1/jobs/{predicted}/cancel")
        assert (answer.status_code, answer.json["status"]) == (200, "canceled")  # type: ignore[index]
    problem(client.post("/v1/jobs/none/cancel"), 404, "unknown_job")


@pytest.mark.usefixtures("scoring")
def test_cancel_leaves_a_result_as_it_is(client: FlaskClient) -> None:
    made = client.post("/v1/models/sum/predict", json=ROW, headers={"Prefer": "wait=30"}).json
    assert made
    job = client.get(f"/v1/jobs/{made['id']}").json
    assert job == {**made, "worker": "w"}
    answer = client.post(f"/v1/jobs/{job['id']}/cancel")
    assert (answer.status_code, answer.json) == (200, job)
    assert client.get(f"/v1/jobs/{job['id']}").json == job


def listed(client: FlaskClient, **query: Any) -> list[str]:
    return [job["id"] for job in client.get("/v1/jobs", query_string=query).json["items"]]  # type: ignore[index]


def test_the_list_has_filters_by_kind_and_time(client: FlaskClient, trainer: SingleJobs) -> None:
    first = client.post("/v1/models/sum/predict", json=ROW).json
    training = train(client)
    last = client.post("/v1/models/sum/predict", json=ROW).json
    assert first and last and trainer
    assert listed(client, kind="training") == [training]
    assert listed(client, kind="prediction") == [last["id"], first["id"]]
    assert listed(client, created_before=first["created_at"]) == [first["id"]]
    assert set(listed(client, created_after=last["created_at"])) == {last["id"]}
    assert listed(client, kind="prediction", created_after="2999-01-01T00:00:00+02:00") == []
    always = {"created_after": "0001-01-01T00:00:00+14:00", "created_before": "9999-12-31T23:59:59-14:00"}
    assert listed(client, kind="prediction", **always) == [last["id"], first["id"]]
    for query in ("kind=x", "created_after=2026", "created_before=2026-01-01T00:00:00"):
        problem(client.get(f"/v1/jobs?{query}"), 400, "invalid_parameter")

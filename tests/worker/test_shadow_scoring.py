"""A candidate scores what the current version has answered, and its answers are logged beside those."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis
from redis.exceptions import RedisError
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from broker.link.connection import connect
from broker.sides.gateway.job_client import Jobs
from broker.sides.shadow import ShadowQueue
from contract.model.experiments import Experiment
from contract.model.manifest import InputFormat
from contract.model.repository import Repository
from contract.model.signature import Field, Kind, Output, OutputKind, RowFormat, Signature
from scoring.pace import Pace
from scoring.trust import Trust
from tests.stacks.redis_process import RedisProcess
from tests.support import Sum, numbers, write_version
from tests.worker.conftest import drain, job
from tests.worker.shadows import experiment, logged, records, summaries, totals
from worker.model_cache import ModelCache, ModelLoader
from worker.scorer import Scorer
from worker.shadow import ShadowScorer
from worker.shadow_scoring import ShadowScoring

MakeShadow = Callable[..., ShadowScorer]
SUM = "sum"
RECORD = json.dumps(
    {
        **dict.fromkeys(("id", "number", "probabilities")),
        **{name: ["a"] for name in ("job_id", "request_id", "accepted_at", "owner")},
        "count": 1,
        "leave_out": [],
        "inputs": {"0": [1.0], "1": [2.0]},
        "prediction": [3.0],
    }
)
"""What the stream has of a job of one row."""


class Picky:
    """The sum of a row; raises for a negative number, and answers with none for a large one."""

    def predict(self, matrix: Any) -> Any:
        if (matrix < 0).any():
            raise ValueError("it hurts")
        sums = matrix.sum(axis=1).astype(object)
        sums[sums > 1000] = "large"
        return sums


class KillsOnce:
    """The sum of a row. The first call ends a process; `calls` gets a letter for each."""

    def __init__(self, pid: int, calls: Path) -> None:
        self.pid, self.calls = pid, calls

    def predict(self, matrix: Any) -> Any:
        with self.calls.open("a") as file:
            file.write("x")
        if self.calls.stat().st_size == 1:
            os.kill(self.pid, signal.SIGKILL)
        return matrix.sum(axis=1)


class Weighted:
    """Weighs the columns by name."""

    def predict(self, frame: Any) -> Any:
        return (frame["a"] + 10 * frame["b"]).to_numpy()


class Labelled:
    """Two classes with the probability `share` of the first one, as long as the class says so."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.classes_ = np.array(["a", "b"])

    def predict(self, matrix: Any) -> Any:
        return np.array(["a" if self.share >= 0.5 else "b"] * len(matrix))

    def predict_proba(self, matrix: Any) -> Any:
        return np.array([[self.share, 1 - self.share]] * len(matrix))


@pytest.fixture
def make_shadow(redis: Redis, models: Path) -> MakeShadow:
    def make(*experiments: Experiment, redis: Redis = redis) -> ShadowScorer:
        repository = Repository(models)
        loader = ModelLoader(repository, Trust())
        scoring = ShadowScoring(
            repository, ModelCache(loader, lambda: 10**9), Pace(inf), 30, lambda what, seconds: None, loader.lives_here
        )
        found = {one.id: one for one in experiments or (experiment(),)}
        return ShadowScorer(ShadowQueue(redis, "w"), scoring, lambda: found, lambda: None)

    return make


@pytest.fixture
def shadow(make_shadow: MakeShadow) -> ShadowScorer:
    return make_shadow()


def scored(shadow: ShadowScorer) -> int:
    """Have all entries scored that wait; return their number."""
    entries = 0
    while shadow.step():
        entries += 1
    return entries


def warm(scorer: Scorer) -> None:
    """Let batches have many rows."""
    scorer.pace.record(SUM, 1, 1, 0.01)
    scorer.pace.record(SUM, 1, 100, 0.1)


def write(models: Path, current: Any, candidate: Any, *inputs: Field, **both: Any) -> None:
    given = inputs or numbers("a", "b")
    write_version(models, SUM, candidate, given, version=2, current=False, **both)
    write_version(models, SUM, current, given, **both)


def test_what_was_answered_is_scored_again_and_logged_beside_it(
    redis: Redis, jobs: Jobs, models: Path, scorer: Scorer, shadow: ShadowScorer
) -> None:
    write(models, Sum(), Sum())
    warm(scorer)
    rows = [[float(number), 2.0] for number in range(20)]
    jobs.submit([job(f"j{number}", rows=rows[number : number + 1], logged=logged(owner="risk")) for number in range(3)])
    jobs.submit([job("many", rows=rows, logged=logged(ids=[f"i{number}" for number in range(20)]))])
    jobs.submit([job("other", logged=logged(None)), job("unlogged")])
    drain(scorer)
    assert scored(shadow) == 2
    current, candidate = records(redis, "sum@1"), records(redis, "sum@2")
    assert len(current) == 3
    for one, other in zip(current, candidate, strict=False):
        for name in ("count", "job_id", "request_id", "accepted_at", "owner", "id", "inputs", "prediction"):
            assert one[name] == other[name], name
        assert other["alias"] == ["~shadow"]
        assert other["milliseconds"][0] > 0
    assert {one["count"] for one in candidate} == {3, 20}
    said = summaries(redis)
    assert {one["experiment"] for one in said} == {"e"}
    assert totals(redis) == {"rows": 23, "failed": 0, "compared": 23, "same": 23, "dropped": 0}
    assert [one["distance"] for one in said] == [0.0, 0.0]


class Beside:
    """The sum of a row, and the mean of the batch."""

    def predict(self, matrix: Any) -> Any:
        return matrix.sum(axis=1) + matrix.mean()


def test_rows_of_different_requests_are_scored_apart_if_they_change_each_others_answers(
    redis: Redis, jobs: Jobs, models: Path, scorer: Scorer, shadow: ShadowScorer
) -> None:
    write(models, Beside(), Beside(), alone=True)
    warm(scorer)
    jobs.submit([job(f"j{number}", rows=[[float(number), 2.0]], logged=logged()) for number in range(3)])
    jobs.submit([job("many", rows=[[float(number), 2.0] for number in range(20)], logged=logged())])
    drain(scorer)
    scored(shadow)
    assert totals(redis) == {"rows": 23, "failed": 0, "compared": 23, "same": 23, "dropped": 0}
    assert [3.0, 4.5, 6.0] in [record["prediction"] for record in records(redis, "sum@2")]


def test_a_candidate_with_inputs_in_another_order_gets_its_own(
    redis: Redis, jobs: Jobs, models: Path, scorer: Scorer, shadow: ShadowScorer
) -> None:
    given = {"input_format": InputFormat.DATAFRAME}
    renamed = Field("b", Kind.INTEGER, aliases=("c",))
    write_version(models, SUM, Weighted(), (renamed, *numbers("a")), version=2, current=False, **given)
    write_version(models, SUM, LinearRegression().fit([[1.0, 0.0, 0.0]], [1.0]), numbers("a", "x", "c"))
    jobs.submit([job("j", rows=[[1.0, 7.0, 2.0], [3.0, 7.0, 4.0]], logged=logged())])
    drain(scorer)
    scored(shadow)
    (record,) = records(redis, "sum@2")
    assert record["inputs"] == {"0": [2, 4], "1": [1.0, 3.0]}
    assert record["prediction"] == [21.0, 43.0]


def test_a_candidate_gets_inputs_that_are_left_out_of_the_log(
    redis: Redis, jobs: Jobs, models: Path, scorer: Scorer, shadow: ShadowScorer
) -> None:
    write(models, Sum(), Sum())
    jobs.submit([job("j", rows=[[1.0, 2.0], [3.0, 4.0]], logged=logged(leave_out=["b"]))])
    jobs.submit([job("k", logged=logged())])
    drain(scorer)
    scored(shadow)
    by_job = {record["job_id"][0]: record for record in records(redis, "sum@2")}
    assert by_job["j"]["prediction"] == [3.0, 7.0]
    assert (by_job["j"]["inputs"], by_job["j"]["leave_out"]) == ({"0": [1.0, 3.0]}, ["b"])
    assert by_job["k"]["inputs"] == {"0": [1.0], "1": [2.0]}
    assert {tuple(record["inputs"]) for record in records(redis, "sum@1")} == {("0",), ("0", "1")}


def test_texts_are_scored(redis: Redis, jobs: Jobs, models: Path, scorer: Scorer, shadow: ShadowScorer) -> None:
    texts, labels = ["good film", "bad film", "good", "bad"], ["yes", "no", "yes", "no"]
    pipeline = make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, labels)
    output = Output(OutputKind.CLASS, ("no", "yes"), probabilities=True)
    signature = Signature((Field("text", Kind.STRING),), (output,), format=RowFormat.TEXTS)
    write(models, pipeline, pipeline, signature=signature, input_format=InputFormat.TEXTS)
    jobs.submit([job(f"j{number}", rows=[[text]], logged=logged()) for number, text in enumerate(texts)])
    drain(scorer)
    scored(shadow)
    assert totals(redis)["same"] == 4
    assert sum(one["distance"] for one in summaries(redis)) == 0
    assert [value for record in records(redis, "sum@2") for value in record["prediction"]] == labels


def test_records_are_scored(redis: Redis, jobs: Jobs, models: Path, scorer: Scorer, shadow: ShadowScorer) -> None:
    rows = [{"city": "Rome", "visits": 3.0}, {"city": "Oslo"}]
    pipeline = make_pipeline(DictVectorizer(), LinearRegression()).fit(rows, [1.0, 2.0])
    signature = Signature((), (Output(OutputKind.NUMBER),), format=RowFormat.RECORDS)
    write(models, pipeline, pipeline, signature=signature, input_format=InputFormat.RECORDS)
    jobs.submit([job("j", rows=[[row] for row in rows], logged=logged(leave_out=["city"]))])
    drain(scorer)
    scored(shadow)
    (record,) = records(redis, "sum@2")
    assert record["inputs"] == [{"visits": 3.0}, {}]
    assert record["prediction"] == pytest.approx([1.0, 2.0])
    assert totals(redis)["same"] == 2


def test_several_outputs_are_compared_one_by_one(
    redis: Redis, jobs: Jobs, models: Path, scorer: Scorer, shadow: ShadowScorer
) -> None:
    rows = [[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
    answers = [[["a", "x"], ["b", "y"], ["a", "y"]], [["a", "x"], ["b", "x"], ["a", "y"]]]
    current, candidate = (KNeighborsClassifier(1).fit(rows, labels) for labels in answers)
    outputs = tuple(
        Output(OutputKind.CLASS, labels, probabilities=True, name=name)
        for name, labels in (("first", ("a", "b")), ("second", ("x", "y")))
    )
    write(models, current, candidate, signature=Signature(numbers("a", "b"), outputs))
    jobs.submit([job("j", rows=rows, logged=logged())])
    drain(scorer)
    scored(shadow)
    (record,) = records(redis, "sum@2")
    assert record["prediction"][1] == {"first": "b", "second": "x"}
    assert record["probabilities"][1] == {"first: a": 0.0, "first: b": 1.0, "second: x": 1.0, "second: y": 0.0}
    (said,) = summaries(redis)
    assert (said["rows"], said["same"], said["distance"]) == (3, 2, 0.5)


def test_the_only_output_is_compared_without_its_name(
    redis: Redis, jobs: Jobs, models: Path, scorer: Scorer, shadow: ShadowScorer
) -> None:
    write(models, Sum(), Sum(), output=Output(OutputKind.NUMBER, name="risk"))
    jobs.submit([job("j", rows=[[1.0, 2.0]] * 3, logged=logged())])
    drain(scorer)
    scored(shadow)
    (record,), (said,) = records(redis, "sum@2"), summaries(redis)
    assert (record["prediction"], said["same"], said["distance"]) == ([3.0] * 3, 3, 0.0)


def test_probabilities_show_a_distance_where_classes_agree(
    redis: Redis, jobs: Jobs, models: Path, scorer: Scorer, shadow: ShadowScorer
) -> None:
    write(models, Labelled(0.9), Labelled(0.6), output=Output(OutputKind.CLASS, ("a", "b"), probabilities=True))
    jobs.submit([job("j", rows=[[1.0, 2.0]] * 10, logged=logged())])
    drain(scorer)
    scored(shadow)
    (said,) = summaries(redis)
    assert (said["same"], said["distance"]) == (10, pytest.approx(3.0))


def test_rows_that_the_candidate_cannot_score_are_counted_and_the_others_are_logged(
    redis: Redis,
    jobs: Jobs,
    models: Path,
    scorer: Scorer,
    shadow: ShadowScorer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write(models, Sum(), Picky())
    rows = [[1.0, 1.0], [2.0, -1.0], [3.0, 1.0], [4.0, 9999.0], [5.0, 1.0]]
    jobs.submit([job("many", rows=rows, logged=logged())])
    jobs.submit([job(f"j{number}", rows=[row], logged=logged()) for number, row in enumerate(rows)])
    drain(scorer)
    scored(shadow)
    assert totals(redis) == {"rows": 10, "failed": 4, "compared": 6, "same": 6, "dropped": 0}
    many, *others = sorted(records(redis, "sum@2"), key=lambda record: record["job_id"] != ["many"])
    assert (many["count"], many["number"], many["prediction"]) == (3, [0, 2, 4], [2.0, 4.0, 6.0])
    assert many["inputs"]["0"] == [1.0, 3.0, 5.0]
    assert [name for record in others for name in record["job_id"]] == ["j0", "j2", "j4"]
    assert {record["number"] and record["number"][0] for record in others} <= {None, 0}
    assert (
        "the candidate sum@2 of an experiment has not scored rows: version 2 of the model 'sum' raised" in caplog.text
    )


def test_values_that_the_candidate_does_not_take_are_counted(
    redis: Redis, jobs: Jobs, models: Path, scorer: Scorer, shadow: ShadowScorer
) -> None:
    write_version(models, SUM, Sum(), (Field("a", Kind.INTEGER), *numbers("b")), version=2, current=False)
    write_version(models, SUM, Sum(), numbers("a", "b"))
    jobs.submit([job("j", rows=[[1.0, 1.0], [1.5, 1.0], [2.0, 1.0]], logged=logged())])
    jobs.submit([job("k", rows=[[1.5, 1.0]], logged=logged())])
    drain(scorer)
    scored(shadow)
    assert totals(redis) == {"rows": 4, "failed": 2, "compared": 2, "same": 2, "dropped": 0}
    assert [(record["count"], record["number"]) for record in records(redis, "sum@2")] == [(2, [0, 2]), (0, [])]


def spoiled(models: Path) -> None:
    path = models / SUM / "versions" / "2" / "model.joblib"
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def test_a_candidate_that_cannot_be_loaded_fails_each_row_and_says_so_once(
    redis: Redis,
    jobs: Jobs,
    models: Path,
    scorer: Scorer,
    shadow: ShadowScorer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write(models, Sum(), Sum())
    spoiled(models)
    for number in range(3):
        jobs.submit([job(f"j{number}", rows=[[1.0, 2.0]] * 2, logged=logged())])
        drain(scorer)
        assert scored(shadow) == 1
    assert totals(redis) == {"rows": 6, "failed": 6, "compared": 0, "same": 0, "dropped": 0}
    assert [record["count"] for record in records(redis, "sum@2")] == [0, 0, 0]
    assert caplog.text.count("checksum") == 1


def test_rows_over_which_two_processes_have_died_fail(
    redis: Redis, jobs: Jobs, models: Path, scorer: Scorer, make_shadow: MakeShadow
) -> None:
    write(models, Sum(), Sum())
    jobs.submit([job("a", logged=logged())])
    drain(scorer)
    jobs.submit([job("b", logged=logged())])
    drain(scorer)
    for _ in range(2):  # deaths
        assert ShadowQueue(redis, "w").take(["e"])
    assert scored(make_shadow()) == 2
    assert totals(redis) == {"rows": 2, "failed": 1, "compared": 1, "same": 1, "dropped": 0}
    assert [record["count"] for record in records(redis, "sum@2")] == [0, 1]


def test_jobs_that_were_not_answered_are_no_pairs(
    redis: Redis, jobs: Jobs, models: Path, make_scorer: Any, shadow: ShadowScorer
) -> None:
    write(models, Sum(), Sum())

    def cancel(ids: Any, *seconds: float) -> None:
        jobs.cancel("b")
        jobs.cancel("many")

    scorer = make_scorer(begin=cancel)
    warm(scorer)
    jobs.submit([job(name, logged=logged()) for name in "abc"])
    jobs.submit([job("many", rows=[[1.0, 2.0]] * 2, logged=logged())])
    drain(scorer)
    scored(shadow)
    assert [record["job_id"] for record in records(redis, "sum@2")] == [["a", "c"]]
    assert totals(redis)["rows"] == 2


def test_the_version_that_was_asked_is_timed_with_the_same_rows_now_and_then(
    redis: Redis, jobs: Jobs, models: Path, scorer: Scorer, shadow: ShadowScorer
) -> None:
    write(models, Sum(), Sum())
    for number in range(60):
        jobs.submit([job(f"j{number}", logged=logged())])
        drain(scorer)
    scored(shadow)
    times = [(one["milliseconds"], one["baseline_milliseconds"]) for one in summaries(redis)]
    timed = [pair for pair in times if pair != (0.0, 0.0)]
    assert all(min(pair) > 0 for pair in timed)
    assert 1 <= len(timed) <= 30, "a tenth of the time, and both are alike"


def test_an_entry_that_cannot_be_read_stops_nothing(
    redis: Redis, jobs: Jobs, models: Path, scorer: Scorer, shadow: ShadowScorer, caplog: pytest.LogCaptureFixture
) -> None:
    write(models, Sum(), Sum())
    for line in (b"{", b"{}", json.dumps({"job_id": ["a"], "count": 2, "inputs": {}}).encode()):
        fields = {"version": "sum@1", "rows": 2, "dropped": 0, "without": "", "record": line}
        redis.xadd("mg:shadow:e", fields)
    jobs.submit([job("a", logged=logged())])
    drain(scorer)
    assert scored(shadow) == 4
    assert totals(redis)["rows"] == 1
    assert "what the candidate of sum@1 would have answered is unknown" in caplog.text


def test_experiments_share_the_time(
    redis: Redis, jobs: Jobs, models: Path, scorer: Scorer, make_shadow: MakeShadow
) -> None:
    write(models, Sum(), Sum())
    shadow = make_shadow(experiment("slow"), experiment("fast"))
    for number in range(12):
        rows = [[1.0, 2.0]] * (5000 if number % 2 else 2)
        jobs.submit([job(f"j{number}", rows=rows, logged=logged("slow" if number % 2 else "fast"))])
        drain(scorer)
    order = []
    while shadow.step():
        order.append(summaries(redis)[-1]["experiment"])
    assert order.index("slow") <= 1, "both begin"
    assert order[-4:] == ["slow"] * 4, "what takes less time goes first"


def test_without_experiments_nothing_is_taken(
    redis: Redis, jobs: Jobs, models: Path, scorer: Scorer, make_shadow: MakeShadow
) -> None:
    write(models, Sum(), Sum())
    jobs.submit([job("a", logged=logged())])
    drain(scorer)
    shadow = make_shadow(experiment("another"))
    assert not shadow.step()
    assert redis.xlen("mg:shadow:e") == 1


def test_what_is_being_scored_when_redis_goes_away_is_scored_again_and_logged_once(
    tmp_path: Path, models: Path, make_shadow: MakeShadow
) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisProcess(folder).start()
    try:
        write(models, Sum(), KillsOnce(server.pid, tmp_path / "calls"))
        with connect(server.url) as redis:
            redis.xadd("mg:shadow:e", {"version": "sum@1", "rows": 1, "dropped": 0, "without": "", "record": RECORD})
            shadow = make_shadow(redis=redis)
            with pytest.raises(RedisError):
                shadow.step()
            server.start()
            assert shadow.step()
            assert totals(redis)["same"] == 1
            assert shadow.step() is False
        assert (tmp_path / "calls").read_text() == "xx"
    finally:
        server.stop()

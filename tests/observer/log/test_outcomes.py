"""Outcomes that users send are kept beside the log, joined with its rows, and measured as scikit-learn does."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from contract.model.manifest import ModelManifest
from contract.model.signature import Field, Kind, Output, OutputKind
from contract.work.observation import MOST_OUTCOMES, Observation, ObservationAction
from observer.log.deletion import Deletion
from observer.log.outcomes import OUTCOMES, Outcomes
from observer.log.store import LogStore, Partition, written
from observer.measuring import Measuring
from tests.support import Sum, write_version

NOON = pd.Timestamp("2026-11-20T12:00:00Z")
INPUTS = (Field("age", Kind.NUMBER), Field("town", Kind.STRING, nullable=True))
FACTS = {"headline": "log_loss", "tested": {"rows": 500}}


@pytest.fixture
def outcomes(store: LogStore) -> Outcomes:
    return Outcomes(store)


def manifest_of(models: Path, **output: Any) -> ModelManifest:
    classes = Output(OutputKind.CLASS, **{"labels": (0, 1), "probabilities": True, **output})
    return write_version(models, "loan", Sum(), INPUTS, classes, metrics={"log_loss": 0.2})


def logged(rows: int, seed: int = 0) -> pd.DataFrame:
    """Predictions of a calibrated model; in Ulm it is wrong more often."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({"share": random.beta(0.5, 0.5, rows)})
    frame["time"] = NOON + pd.to_timedelta(np.sort(random.random(rows)) * 3, "D")
    frame["job_id"] = [f"j{number // 4}" for number in range(rows)]
    frame["row"] = np.arange(rows) % 4
    frame["id"] = [f"c{number}" for number in range(rows)]
    frame["age"] = random.integers(18, 80, rows).astype(float)
    frame["town"] = np.array(["Ulm", "Bonn", "Kiel", None])[random.integers(0, 4, rows)]
    frame["prediction"] = (frame["share"] > 0.5).astype(int)
    actual = (random.random(rows) < frame["share"]).astype(int)
    frame["outcome"] = np.where((frame["town"] == "Ulm") & (random.random(rows) < 0.4), 1 - actual, actual)
    return frame


def keep(
    store: LogStore, frame: pd.DataFrame, version: int = 1, owner: str | None = None, alias: str = "current"
) -> None:
    """Put rows into the log, as its intake does."""
    milliseconds = "milliseconds" if "milliseconds" in frame else "1.0"
    with store.database() as database:
        database.register("frame", frame)
        for (day,) in database.execute("SELECT DISTINCT strftime(time, '%Y-%m-%d') FROM frame").fetchall():
            shares = (
                "NULL::MAP(VARCHAR, DOUBLE)"
                if frame["prediction"].dtype == float
                else "MAP {'0': 1 - share, '1': share}"
            )
            rows = (
                f"SELECT time, job_id, row::INTEGER AS row, id, NULL::VARCHAR AS request_id, '{alias}' AS alias,"
                f" {'NULL' if owner is None else repr(owner)}::VARCHAR AS owner,"
                " struct_pack(age := age, town := town) AS inputs, []::VARCHAR[] AS left_out, prediction,"
                f" {shares} AS probabilities, []::VARCHAR[] AS warnings, {milliseconds} AS milliseconds"
                f" FROM frame WHERE strftime(time, '%Y-%m-%d') = '{day}'"
            )
            name = f"{time.time_ns()}.parquet"
            database.execute(written(rows, store.draft / name))
            store.replace({name: f"predictions/{Partition('loan', version, day).path}/{name}"})


def send(outcomes: Outcomes, sent: Sequence[dict[str, Any]], owner: str | None = None) -> tuple[int, int, int]:
    """Return how many are new, corrected and repeated."""
    counts = np.zeros(3, dtype=int)
    for first in range(0, len(sent), MOST_OUTCOMES):
        some = sent[first : first + MOST_OUTCOMES]
        asked = Observation(ObservationAction.ADD_OUTCOMES, "loan", outcomes=some, owner=owner)
        answer = outcomes.add(Observation.from_json(asked.to_json()))
        counts += [answer["new"], answer["corrected"], answer["repeated"]]
    return tuple(counts.tolist())


def by_row(frame: pd.DataFrame) -> list[dict[str, Any]]:
    columns = (frame[name].tolist() for name in ("job_id", "row", "outcome"))
    return [{"job": job, "row": row, "outcome": outcome} for job, row, outcome in zip(*columns, strict=True)]


def measured(
    store: LogStore, outcomes: Outcomes, manifest: ModelManifest, owner: str | None = None, facts: Any = FACTS
) -> dict[str, Any]:
    return Measuring(store, outcomes).measure(manifest, facts, owner)


def joined_as_pandas_does(frame: pd.DataFrame, sent: Sequence[dict[str, Any]]) -> pd.DataFrame:
    newest = pd.DataFrame(sent).drop_duplicates(["job", "row"], keep="last").rename(columns={"job": "job_id"})
    return frame.drop(columns="outcome").merge(newest, on=["job_id", "row"])


def shuffled(frame: pd.DataFrame, seed: int = 1) -> list[dict[str, Any]]:
    """Outcomes in any order, 5 % of them sent again and 1 % corrected."""
    random = np.random.default_rng(seed)
    sent = by_row(frame)
    rows = len(sent)
    again = [sent[at] for at in random.choice(rows, rows // 20, replace=False)]
    others = [
        {**sent[at], "outcome": 1 - sent[at]["outcome"]} for at in random.choice(rows, rows // 100, replace=False)
    ]
    later = [*again, *others]
    return [sent[at] for at in random.permutation(rows)] + [later[at] for at in random.permutation(len(later))]


@pytest.mark.parametrize("rows", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_metrics_are_those_of_the_table_that_pandas_joins(
    store: LogStore, outcomes: Outcomes, models: Path, rows: int, record_property: Callable[[str, object], None]
) -> None:
    manifest, frame = manifest_of(models), logged(rows)
    keep(store, frame)
    sent = shuffled(frame)
    began = time.monotonic()
    new, corrected, repeated = send(outcomes, sent)
    sending = time.monotonic() - began
    assert (new, new + corrected + repeated) == (rows, len(sent))
    assert rows // 100 <= corrected <= rows // 100 + rows // 1000 + 10  # a row that is corrected may come again later
    answer = measured(store, outcomes, manifest)
    record_property("seconds", {"sent": sending, "measured": time.monotonic() - began - sending})
    record_property("largest_mb", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    expected = joined_as_pandas_does(frame, sent)
    assert (answer["predictions"], answer["outcomes"], answer["unknown"]) == (rows, rows, 0)
    metrics = {name: one["value"] for name, one in answer["metrics"].items()}
    assert metrics["accuracy"] == pytest.approx(accuracy_score(expected["outcome"], expected["prediction"]), abs=1e-12)
    assert metrics["log_loss"] == pytest.approx(log_loss(expected["outcome"], expected["share"]), rel=1e-9)
    assert metrics["roc_auc"] == pytest.approx(roc_auc_score(expected["outcome"], expected["share"]), abs=1e-9)
    of_day = expected.groupby(expected["time"].dt.floor("h" if answer["period"] == "hour" else "D"))
    assert [one["outcomes"] for one in answer["periods"]] == of_day.size().tolist()
    accuracies = [accuracy_score(one["outcome"], one["prediction"]) for _, one in of_day]
    assert [one["metrics"]["accuracy"]["value"] for one in answer["periods"]] == pytest.approx(accuracies)
    assert answer["slices"][0]["name"] == "town = 'Ulm'"
    assert answer["slices"][0]["outcomes"] == (expected["town"] == "Ulm").sum()


def test_the_report_s_own_metric_is_first_and_compared_with_what_it_promised(
    store: LogStore, outcomes: Outcomes, models: Path
) -> None:
    manifest, frame = manifest_of(models), logged(2000)
    keep(store, frame)
    send(outcomes, by_row(frame))
    answer = measured(store, outcomes, manifest)
    assert (answer["headline"], next(iter(answer["metrics"]))) == ("log_loss", "log_loss")
    assert (answer["promise"]["promised"], answer["promise"]["worse"]) == (0.2, True)
    assert answer["calibration"]["p_value"] < 0.05  # it is wrong in Ulm
    assert measured(store, outcomes, manifest, facts={})["promise"] is None


def test_a_missing_outcome_is_no_negative_one(store: LogStore, outcomes: Outcomes, models: Path) -> None:
    manifest, frame = manifest_of(models), logged(1000)
    keep(store, frame)
    assert measured(store, outcomes, manifest)["outcomes"] == 0
    known = frame[frame["outcome"] == 1]
    send(outcomes, by_row(known))
    answer = measured(store, outcomes, manifest)
    assert (answer["predictions"], answer["outcomes"]) == (1000, len(known))
    assert answer["metrics"]["accuracy"]["value"] == (known["prediction"] == 1).mean()
    assert "no outcome is 0 yet" in answer["not_measured"]["log_loss"]


def test_an_outcome_counts_for_the_rows_of_its_id_until_its_time(
    store: LogStore, outcomes: Outcomes, models: Path
) -> None:
    manifest, frame = manifest_of(models), logged(4)
    frame["id"] = "4711"
    frame["prediction"], frame["time"] = [0, 0, 1, 1], NOON + pd.to_timedelta([0, 1, 2, 3], "h")
    keep(store, frame)
    moment = (NOON + pd.Timedelta("90min")).isoformat()
    assert send(outcomes, [{"id": "4711", "outcome": 0, "at": moment}, {"id": "4711", "outcome": 1}]) == (2, 0, 0)
    assert measured(store, outcomes, manifest)["metrics"]["accuracy"]["value"] == 1
    assert send(outcomes, [{"id": "4711", "outcome": 1, "at": moment}, {"id": "4711", "outcome": 1}]) == (0, 1, 1)
    assert measured(store, outcomes, manifest)["metrics"]["accuracy"]["value"] == 0.5
    assert send(outcomes, [{"job": "j0", "row": 0, "outcome": 0}]) == (1, 0, 0)  # of the very row
    assert measured(store, outcomes, manifest)["metrics"]["accuracy"]["value"] == 0.75


def test_outcomes_of_unknown_rows_are_counted_and_kept(store: LogStore, outcomes: Outcomes, models: Path) -> None:
    manifest, frame = manifest_of(models), logged(8)
    keep(store, frame[:4])
    send(outcomes, [*by_row(frame), {"id": "c5", "outcome": 1}, {"id": "c1", "outcome": 0}])
    assert measured(store, outcomes, manifest)["unknown"] == 5
    keep(store, frame[4:])
    answer = measured(store, outcomes, manifest)
    assert (answer["outcomes"], answer["unknown"]) == (8, 0)


def test_an_outcome_that_is_no_label_is_named(store: LogStore, outcomes: Outcomes, models: Path) -> None:
    manifest, frame = manifest_of(models), logged(8)
    keep(store, frame)
    send(
        outcomes,
        by_row(frame.assign(outcome=np.array(["yes", "N", "1", 0, "paid", "paid", None, True], dtype=object))),
    )
    answer = measured(store, outcomes, manifest)
    assert (answer["outcomes"], answer["unread"]) == (5, {"'paid'": 2, "null": 1})


def test_a_row_that_the_log_has_twice_counts_once(store: LogStore, outcomes: Outcomes, models: Path) -> None:
    manifest, frame = manifest_of(models), logged(200)
    keep(store, frame)
    keep(store, frame[:50])
    send(outcomes, by_row(frame))
    answer = measured(store, outcomes, manifest)
    assert (answer["predictions"], answer["outcomes"]) == (200, 200)


def test_owners_have_outcomes_of_their_own(store: LogStore, outcomes: Outcomes, models: Path) -> None:
    manifest, frame = manifest_of(models), logged(8)
    keep(store, frame[:4], owner="risk")
    keep(store, frame[4:], owner="sales")
    send(outcomes, by_row(frame.assign(outcome=frame["prediction"])), owner="risk")
    assert measured(store, outcomes, manifest, owner="risk")["outcomes"] == 4
    assert measured(store, outcomes, manifest, owner="sales")["outcomes"] == 0
    assert measured(store, outcomes, manifest)["outcomes"] == 4
    send(outcomes, by_row(frame))
    assert measured(store, outcomes, manifest)["outcomes"] == 8


def test_deleting_an_id_deletes_its_outcomes_and_those_of_its_rows(
    store: LogStore, outcomes: Outcomes, folder: Path
) -> None:
    frame = logged(8).assign(outcome="secret-3")
    keep(store, frame[3:4])
    send(outcomes, [*by_row(frame[3:4]), {"id": "c3", "outcome": "secret-3"}, {"id": "c4", "outcome": 1}])
    outcomes.forget(Deletion.of("loan", "c3", None))
    with store.database() as database:
        left = database.execute(f"SELECT id, outcome FROM {outcomes.newest('loan')}").fetchall()
    assert left == [("c4", "1")]
    assert not [file for file in (folder / OUTCOMES).rglob("*") if file.is_file() and b"secret-3" in file.read_bytes()]


def test_small_files_are_merged_and_old_days_removed(store: LogStore, outcomes: Outcomes) -> None:
    for number in range(20):
        send(outcomes, [{"id": f"c{number}", "outcome": number}])
    outcomes.keep_order(lambda _: 90)
    assert len(outcomes.files("loan")) == 1
    assert send(outcomes, [{"id": f"c{number}", "outcome": number} for number in range(21)]) == (1, 0, 20)
    (folder,) = {file.parent for file in outcomes.files("loan")}
    folder.rename(folder.parent / "day=2026-01-01")
    outcomes.keep_order(lambda _: 3650)
    assert len(outcomes.files("loan")) == 1
    outcomes.keep_order(lambda _: 90)
    assert outcomes.files("loan") == []


def test_an_accuracy_is_estimated_before_outcomes_come(store: LogStore, outcomes: Outcomes, models: Path) -> None:
    manifest, frame = manifest_of(models), logged(20_000)
    keep(store, frame)
    answer = measured(store, outcomes, manifest)
    right = np.maximum(frame["share"], 1 - frame["share"])
    accuracy, area = answer["estimated"]["accuracy"], answer["estimated"]["roc_auc"]
    assert (accuracy["value"], accuracy["rows"]) == (pytest.approx(right.mean()), 20_000)
    elsewhere = frame[frame["town"] != "Ulm"]  # where the model is calibrated
    assert area["low"] - 0.01 < roc_auc_score(elsewhere["outcome"], elsewhere["share"]) < area["high"] + 0.01
    uncertain = measured(store, outcomes, manifest, facts={"answers": {"calibration": {"gap": 0.1}}})
    assert uncertain["estimated"]["accuracy"]["high"] == pytest.approx(accuracy["high"] + 0.1)


def test_numbers_are_measured_without_labels(store: LogStore, outcomes: Outcomes, models: Path) -> None:
    manifest = write_version(models, "loan", Sum(), INPUTS, metrics={"r2": 0.9})
    frame = logged(500)
    frame["prediction"] = frame["age"] * 2.0
    frame["outcome"] = frame["prediction"] + 3
    keep(store, frame)
    send(outcomes, by_row(frame))
    answer = measured(store, outcomes, manifest, facts={"headline": "r2", "tested": {"rows": 100}})
    assert answer["metrics"]["mean_absolute_error"]["value"] == pytest.approx(3)
    assert (answer["calibration"], answer["estimated"]) == (None, None)

"""A version without a profile is compared with its first rows: each counts once, and changes after them are found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from duckdb import DuckDBPyConnection
from redis import Redis

from broker.sides.gateway.job_client import Jobs
from broker.sides.observer import BEGINNING
from broker.state.boards import HealthBoard
from contract.model.manifest import ModelManifest
from contract.model.row_profile import profile_of
from contract.model.signature import Field, Kind, Output, OutputKind, RowFormat
from observer.log.intake import Intake
from observer.log.store import LogStore
from observer.watch import Watch
from tests.observer.conftest import make_intake
from tests.observer.test_health import reports_of
from tests.observer.test_watch import INPUTS, Flag, rows, send
from tests.support import write_version
from worker.scorer import Scorer

FIRST = 1_000
OUTPUT = Output(OutputKind.CLASS, (0, 1))


@pytest.fixture
def manifest(models: Path) -> ModelManifest:
    return write_version(models, "watched", Flag(), INPUTS, OUTPUT)


def counted(intake: Intake, manifest: ModelManifest) -> tuple[str | None, int]:
    health = intake.watch.health(manifest)
    return health["profile"], health["rows"]


def test_rows_after_the_first_ones_are_watched_and_a_column_that_moves_is_named(
    redis: Redis, jobs: Jobs, scorer: Scorer, intake: Intake, models: Path, manifest: ModelManifest
) -> None:
    rng = np.random.default_rng(1)
    send(jobs, scorer, "a", rows(rng, 640))
    intake.run()
    health = intake.watch.health(manifest)
    assert (health["profile"], health["rows"], health["watched"]) == (None, 0, [])
    assert health["reason"].endswith("compared with its first 1,000, and 640 are logged")
    send(jobs, scorer, "b", rows(rng, 600))
    intake.run()
    health = intake.watch.health(manifest)
    assert (health["profile"], health["rows"], health["reason"]) == ("first_rows", 240, None)
    assert (health["watched"], health["alarms"]) == (["n", "flag", "prediction"], [])
    for number in range(10):
        send(jobs, scorer, f"moved-{number}", rows(rng, 100, mean=0.8))
        intake.run()
    (alarm,) = intake.watch.health(manifest)["alarms"]
    assert alarm["column"] == "n" and 150 <= alarm["since"]["row"] <= 450
    reports_of(redis, intake, models).publish()
    (finding,) = HealthBoard(redis).read()["watched@1"].findings
    assert finding.startswith("n: median ") and " at first, " in finding


@pytest.mark.parametrize("step", ["_write_state", "_complete"])
def test_a_killed_observer_profiles_and_counts_each_row_once(
    jobs: Jobs, scorer: Scorer, redis: Redis, folder: Path, models: Path, manifest: ModelManifest, step: str
) -> None:
    rng = np.random.default_rng(2)
    sent = rows(rng, 1_300)
    for number, start in enumerate(range(0, 1_200, 600)):
        send(jobs, scorer, f"{number}", sent[start : start + 600])
        store = LogStore(folder, BEGINNING)
        intake = make_intake(redis, store, models)
        with patch.object(store, step, side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
            intake.run()
        store.close()
    send(jobs, scorer, "last", sent[1_200:])
    store = LogStore(folder, BEGINNING)
    intake = make_intake(redis, store, models)
    intake.run()
    assert counted(intake, manifest) == ("first_rows", 300)
    assert isinstance(intake.watch, Watch)
    profile = profile_of(manifest.signature, sent[:FIRST], [row[1] for row in sent[:FIRST]])
    assert profile is not None
    numbers, flags, _ = json.loads((folder / intake.watch.states.path(("watched", 1))).read_text())["profile"]["inputs"]
    assert (tuple(numbers["edges"]), tuple(numbers["counts"])) == (profile.inputs[0].edges, profile.inputs[0].counts)
    assert tuple(flags["counts"]) == profile.inputs[1].counts
    store.close()


def test_a_change_that_fails_is_not_counted_and_made_again(
    jobs: Jobs, scorer: Scorer, intake: Intake, store: LogStore, manifest: ModelManifest
) -> None:
    rng = np.random.default_rng(3)
    for job, logged in (("a", (None, 0)), ("b", ("first_rows", 200))):
        send(jobs, scorer, job, rows(rng, 600))
        full = patch.object(store, "_write_state", side_effect=OSError(28, "No space left"))
        with full, pytest.raises(OSError, match="No space"):
            intake.run()
        intake.run()
        assert counted(intake, manifest) == logged


def test_leaving_out_an_input_begins_anew_with_first_rows_without_it(
    jobs: Jobs, scorer: Scorer, intake: Intake, manifest: ModelManifest
) -> None:
    rng = np.random.default_rng(4)
    send(jobs, scorer, "a", rows(rng, 1_100))
    for number in range(10):
        send(jobs, scorer, f"moved-{number}", rows(rng, 100, mean=2.0))
        intake.run()
    assert [alarm["column"] for alarm in intake.watch.health(manifest)["alarms"]] == ["n"]
    send(jobs, scorer, "b", rows(rng, 60), leave_out=["n"])
    intake.run()
    health = intake.watch.health(manifest)
    assert (health["profile"], health["alarms"]) == (None, []) and "and 60 are logged" in health["reason"]
    assert health["history"][0]["ended"]["row"] == 0
    send(jobs, scorer, "c", rows(rng, 1_000), leave_out=["n"])
    intake.run()
    health = intake.watch.health(manifest)
    assert (health["profile"], health["rows"], health["watched"]) == ("first_rows", 60, ["flag", "prediction"])


def test_others_take_the_place_of_first_rows_that_the_log_has_lost(
    jobs: Jobs, scorer: Scorer, intake: Intake, store: LogStore, manifest: ModelManifest
) -> None:
    rng = np.random.default_rng(5)
    send(jobs, scorer, "a", rows(rng, 600))
    intake.run()
    files = [file for partition in store.partitions("watched") for file in store.files(partition)]
    store.replace({}, map(store.relative, files))
    send(jobs, scorer, "b", rows(rng, 500))
    intake.run()
    assert "and 500 are logged" in intake.watch.health(manifest)["reason"]
    send(jobs, scorer, "c", rows(rng, 550))
    intake.run()
    assert counted(intake, manifest) == ("first_rows", 50)


def test_the_next_observer_goes_on(
    jobs: Jobs, scorer: Scorer, intake: Intake, store: LogStore, manifest: ModelManifest
) -> None:
    send(jobs, scorer, "a", rows(np.random.default_rng(6), 1_100))
    intake.run()
    restarted = Watch(store, 0.01).health(manifest)
    assert restarted == intake.watch.health(manifest) and restarted["rows"] == 100


def observe(watch: Watch, database: DuckDBPyConnection, manifest: ModelManifest, number: int, inputs: str) -> bytes:
    """Have rows watched whose inputs are this SQL, and whose prediction is the flag. Returns the state."""
    columns = f"now() AS time, 'job' AS job_id, n AS row, []::VARCHAR[] AS left_out, {inputs} AS inputs"
    drawn = f"SELECT {columns} FROM range({number}) AS rows(n)"
    database.execute(f"CREATE OR REPLACE TEMP TABLE records AS SELECT *, inputs.flag AS prediction FROM ({drawn})")
    (data,) = watch.observe(database, manifest).values()
    return data


def normal(mean: float = 0.0, flag: str = "(random() < 0.05)::BIGINT", number: str = "{normal}") -> str:
    number = number.replace("{normal}", f"{mean} + sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())")
    return f"struct_pack(n := {number}, flag := {flag}, t := now())"


@pytest.mark.slow
def test_unchanged_rows_raise_no_alarm_and_a_change_does(store: LogStore, manifest: ModelManifest) -> None:
    watch = Watch(store, 0.01)
    with store.database() as database:
        database.execute("SELECT setseed(0.5)")
        for version in range(1, 21):
            stream = replace(manifest, version=version)
            for _ in range(7):
                observe(watch, database, stream, 3_000, normal())
            health = watch.health(stream)
            assert (health["rows"], health["history"]) == (20_000, [])
            observe(watch, database, stream, 1_000, normal(mean=0.5))
            assert [alarm["column"] for alarm in watch.health(stream)["alarms"]] == ["n"]


def test_a_flag_that_was_seldom_set_is_watched(store: LogStore, manifest: ModelManifest) -> None:
    watch = Watch(store, 0.01)
    with store.database() as database:
        database.execute("SELECT setseed(0.5)")
        observe(watch, database, manifest, 2_000, normal())
        for _ in range(20):
            observe(watch, database, manifest, 100, normal(flag="(random() < 0.2)::BIGINT"))
    assert [alarm["column"] for alarm in watch.health(manifest)["alarms"]] == ["flag", "prediction"]


def test_what_is_no_finite_number_makes_no_bin(store: LogStore, manifest: ModelManifest) -> None:
    """Code of others runs in scorers, and may log anything."""
    watch = Watch(store, 0.01)
    strange = "CASE n % 4 WHEN 0 THEN 'nan'::DOUBLE WHEN 1 THEN 'inf'::DOUBLE ELSE {normal} END"
    with store.database() as database:
        observe(watch, database, manifest, 1_100, normal(number=strange))
        json.loads(observe(watch, database, manifest, 1_000, normal(mean=9)), parse_constant=pytest.fail)
    assert watch.health(manifest)["alarms"]
    json.dumps(watch.health(manifest), allow_nan=False)


@pytest.mark.slow
def test_a_state_is_small_and_has_no_rare_words(store: LogStore, manifest: ModelManifest) -> None:
    fields = tuple(Field(f"w{number}", Kind.STRING) for number in range(400))
    inputs = (*fields, Field("flag", Kind.INTEGER))
    wide = replace(manifest, signature=replace(manifest.signature, inputs=inputs))
    words = "if(n = 7, 'Ada', repeat(chr((65 + n % 40)::INTEGER), 99))"
    packed = ", ".join(f"{field.name} := {words}" for field in fields)
    with store.database() as database:
        data = observe(Watch(store, 0.01), database, wide, 1_100, f"struct_pack({packed}, flag := n % 2)")
    saved = json.loads(data)
    assert len(data) < 1_000_000 and b"Ada" not in data
    assert len(saved["profile"]["inputs"][0]["values"]) == 6 and saved["profile"]["inputs"][0]["others"] == 850


def test_texts_are_not_watched(store: LogStore, manifest: ModelManifest) -> None:
    texts = replace(manifest.signature, inputs=(Field("text", Kind.STRING),), format=RowFormat.TEXTS)
    watch, manifest = Watch(store, 0.01), replace(manifest, signature=texts)
    with store.database() as database:
        assert watch.observe(database, manifest) == {}
    assert watch.health(manifest)["reason"] == "rows of texts and records are not watched"

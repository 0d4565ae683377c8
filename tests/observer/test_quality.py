"""Outcomes that show that a version is worse than its report promised are found, and others are not."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from contract.model.manifest import ModelManifest
from contract.model.repository import Repository
from contract.model.signature import Output, OutputKind
from observer.log.outcomes import Outcomes
from observer.log.store import LogStore
from observer.measuring import Measuring
from observer.quality import QualityWatch
from tests.observer.log.test_outcomes import INPUTS, by_row, keep, logged, send
from tests.support import Sum, write_version

LEVEL = 0.002
VERSION = ("loan", 1)


@pytest.fixture
def outcomes(store: LogStore) -> Outcomes:
    return Outcomes(store)


@pytest.fixture
def manifest(models: Path) -> ModelManifest:
    """A version whose report promised an accuracy of 0.74 on 500 rows, which `logged` reaches."""
    classes = Output(OutputKind.CLASS, (0, 1), probabilities=True)
    made = write_version(models, "loan", Sum(), INPUTS, classes, metrics={"accuracy": 0.74})
    report = models / "loan/versions/1/report/report.json"
    report.parent.mkdir()
    report.write_text(json.dumps({"headline": "accuracy", "tested": {"rows": 500}}))
    return made


def watch_of(store: LogStore, outcomes: Outcomes, models: Path) -> QualityWatch:
    return QualityWatch(store, Measuring(store, outcomes), Repository(models), LEVEL)


def hear(watch: QualityWatch, outcomes: Outcomes, frame: pd.DataFrame) -> None:
    """Have outcomes come, and look at them."""
    new, corrected, _ = send(outcomes, by_row(frame))
    watch.note("loan", new + corrected)
    watch.look()


def worse(frame: pd.DataFrame) -> pd.DataFrame:
    """The same predictions, a third of which become wrong."""
    wrong = (frame.index % 3 == 0) & (frame["outcome"] == frame["prediction"])
    return frame.assign(outcome=frame["outcome"].where(~wrong, 1 - frame["prediction"]))


def test_a_version_that_becomes_worse_is_found_and_its_recovery_too(
    store: LogStore, outcomes: Outcomes, models: Path, manifest: ModelManifest
) -> None:
    watch = watch_of(store, outcomes, models)
    frame = logged(3000).sort_values("time", ignore_index=True)
    keep(store, frame)
    hear(watch, outcomes, frame[:1000])
    assert watch.of(VERSION).finding == "" and watch.of(VERSION).looks == 1
    hear(watch, outcomes, worse(frame[1000:1300]))
    assert watch.of(VERSION).finding.startswith("accuracy is 0.4"), watch.of(VERSION)
    assert watch.of(VERSION).finding.endswith("on the newest 250 outcomes, and the report promised 0.740")
    assert watch.changed == {VERSION}
    restarted = watch_of(store, outcomes, models)
    hear(restarted, outcomes, frame[1300:1700])
    looked = restarted.of(VERSION)
    assert looked.finding == "" and looked.history[0]["ended"] == looked.changed_at


def test_what_a_full_disk_prevented_is_looked_at_again(
    store: LogStore, outcomes: Outcomes, models: Path, manifest: ModelManifest
) -> None:
    watch = watch_of(store, outcomes, models)
    frame = logged(1000)
    keep(store, frame)
    (store.folder / "quality").write_text("in the way")
    with pytest.raises(OSError, match="quality"):
        hear(watch, outcomes, worse(frame))
    (store.folder / "quality").unlink()
    watch.look()
    assert watch.of(VERSION).finding.startswith("accuracy is 0.4") and watch.changed == {VERSION}


@pytest.mark.slow
def test_few_new_outcomes_are_no_reason_to_look(
    store: LogStore, outcomes: Outcomes, models: Path, manifest: ModelManifest
) -> None:
    watch = watch_of(store, outcomes, models)
    frame = logged(1000).sort_values("time", ignore_index=True)
    keep(store, frame)
    for first in range(0, 500, 10):
        hear(watch, outcomes, frame[first : first + 10])
    looks = watch.of(VERSION).looks
    assert 0 < looks <= 10


@pytest.mark.slow
def test_a_version_that_keeps_its_promise_is_never_found(
    store: LogStore, outcomes: Outcomes, models: Path, manifest: ModelManifest
) -> None:
    watch = watch_of(store, outcomes, models)
    frame = logged(20_000, seed=3).sort_values("time", ignore_index=True)
    keep(store, frame)
    for first in range(0, 20_000, 1000):
        hear(watch, outcomes, frame[first : first + 1000])
    looked = watch.of(VERSION)
    assert looked.looks >= 15 and looked.history == []


def test_a_version_without_a_report_promised_nothing(store: LogStore, outcomes: Outcomes, models: Path) -> None:
    write_version(models, "loan", Sum(), INPUTS, Output(OutputKind.CLASS, (0, 1), probabilities=True))
    watch = watch_of(store, outcomes, models)
    frame = logged(500)
    keep(store, frame)
    hear(watch, outcomes, worse(frame))
    assert watch.of(VERSION).looks == 0 and watch.changed == set()

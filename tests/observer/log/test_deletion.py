"""A deletion leaves nothing of a person in the log, and everything of others."""

from __future__ import annotations

import errno
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from broker.sides.gateway.job_client import Jobs
from contract.model.signature import Field, Kind
from contract.retention import DAY, Retention
from observer.log.deletion import Deletions
from observer.log.intake import Intake
from observer.log.store import LogStore
from observer.log.upkeep import merge
from tests.observer.conftest import TODAY, YESTERDAY, predict, rows_of
from tests.observer.log.files import add_file, days_ago, files_with, jobs_in
from tests.support import write_version
from worker.scorer import Scorer

ERIKA, STREET = "erika-mustermann-4711", "heidestrasse-seventeen"


class One:
    """Answers 1 for each row."""

    def predict(self, rows: Any) -> Any:
        return np.ones(len(rows))


@pytest.fixture(autouse=True)
def _named(models: Path) -> None:
    for version in (1, 2):
        write_version(models, "named", One(), [Field("street", Kind.STRING)], version=version)


def log_row(jobs: Jobs, scorer: Scorer, job: str, identity: Any = ERIKA, street: str = STREET, **logged: Any) -> None:
    version = logged.pop("version", 1)
    predict(jobs, scorer, job, [[street]], model="named", version=version, logged={"ids": [identity], **logged})


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def test_rows_are_deleted_from_all_files_of_all_versions_and_days(store: LogStore, folder: Path) -> None:
    for day in (days_ago(40), YESTERDAY, TODAY):
        for identity in (ERIKA, "max"):
            add_file(store, day, [f"{day}-{identity}"], identity=identity)
    add_file(store, YESTERDAY, ["b"], model="other", identity=ERIKA)
    merge(store)
    add_file(store, YESTERDAY, ["late-erika"], identity=ERIKA)
    with patch("time.time", return_value=time.time() + DAY):  # at noon of today, too
        assert Deletions(store).delete("sum", ERIKA, None) == 4
        assert Deletions(store).delete("sum", ERIKA, None) == 0
    assert jobs_in(folder) == sorted(["b", *(f"{day}-max" for day in (days_ago(40), YESTERDAY, TODAY))])
    assert [row["job"] for row in rows_of(store, "other")] == ["b"]


def test_nothing_of_a_person_is_left_in_any_file(
    jobs: Jobs, scorer: Scorer, intake: Intake, store: LogStore, folder: Path
) -> None:
    full = OSError(errno.ENOSPC, "full")
    for number in range(3):
        log_row(jobs, scorer, f"erika-{number}", version=1 + number % 2)
        log_row(jobs, scorer, f"max-{number}", "max", "elsewhere", version=1 + number % 2)
        intake.run()
    with patch.object(store, "_write_state", side_effect=full), pytest.raises(OSError, match="full"):
        merge(store)
    log_row(jobs, scorer, "late")
    with patch.object(store, "_write_state", side_effect=full), pytest.raises(OSError, match="full"):
        intake.run()
    with patch("observer.log.intake._Records.write", side_effect=full), pytest.raises(OSError, match="full"):
        intake.run()
    intake.run()
    merge(store)
    rows_of(store, "named", id=ERIKA, parquet=None)
    assert files_with(folder, ERIKA) and files_with(folder, STREET)
    assert intake.deletions.delete("named", ERIKA, None) == 4
    assert (files_with(folder, ERIKA), files_with(folder, STREET)) == ([], [])
    assert jobs_in(folder) == ["max-0", "max-1", "max-2"]


def test_what_a_failed_round_has_drafted_is_not_left(
    jobs: Jobs, scorer: Scorer, intake: Intake, store: LogStore, folder: Path
) -> None:
    for step in ("observer.log.intake._Records.write", "observer.log.store._flush"):
        log_row(jobs, scorer, step)
        full = OSError(errno.ENOSPC, "full")
        with patch(step, side_effect=full), pytest.raises(OSError, match="full"):
            intake.run()
        assert files_with(folder, ERIKA) == [], step


def test_rows_that_arrive_later_are_kept_only_if_they_were_accepted_later(
    jobs: Jobs, scorer: Scorer, intake: Intake, store: LogStore, folder: Path
) -> None:
    before = now()
    assert intake.deletions.delete("named", ERIKA, None) == 0
    log_row(jobs, scorer, "before", accepted_at=before)
    log_row(jobs, scorer, "after", accepted_at=now(), street="elsewhere")
    log_row(jobs, scorer, "other", "max", accepted_at=before, street="elsewhere")
    log_row(jobs, scorer, "none", None, accepted_at=before, street="elsewhere")
    intake.run()
    assert jobs_in(folder) == ["after", "none", "other"]
    assert files_with(folder, STREET) == []


@pytest.mark.parametrize("late", [True, False])
def test_the_warnings_of_a_request_go_with_any_of_its_rows_because_they_quote_values(
    jobs: Jobs, scorer: Scorer, intake: Intake, store: LogStore, folder: Path, late: bool
) -> None:
    before = now()
    if late:
        intake.deletions.delete("named", ERIKA, None)
    for job, identity in (("shared", ERIKA), ("alone", "eva")):
        logged = {"accepted_at": before, "ids": ["max", identity], "warnings": [f"'street' is {STREET} of {identity}"]}
        predict(jobs, scorer, job, [["elsewhere"], [STREET]], model="named", logged=logged)
    intake.run()
    if not late:
        intake.deletions.delete("named", ERIKA, None)
    kept = [(row["job"], row["id"], row["warnings"]) for row in rows_of(store, "named")]
    warned = [f"'street' is {STREET} of eva"]
    assert sorted(kept) == [("alone", "eva", warned), ("alone", "max", warned), ("shared", "max", [])]


def test_a_deletion_is_remembered_by_the_next_observer(
    jobs: Jobs, scorer: Scorer, intake: Intake, store: LogStore, folder: Path
) -> None:
    Deletions(store).delete("named", ERIKA, None)
    log_row(jobs, scorer, "before")
    intake.deletions = Deletions(store)
    intake.run()
    assert jobs_in(folder) == []


def test_a_deletion_for_an_owner_leaves_the_rows_of_others(
    jobs: Jobs, scorer: Scorer, intake: Intake, store: LogStore, folder: Path
) -> None:
    def log_of_all(when: str) -> None:
        for owner in ("risk", "sales", ""):
            log_row(jobs, scorer, f"{when}-{owner or 'nobody'}", owner=owner)

    log_of_all("early")
    intake.run()
    merge(store)
    assert intake.deletions.delete("named", ERIKA, "risk") == 1
    log_of_all("late")
    intake.run()
    assert jobs_in(folder) == ["early-nobody", "early-sales", "late-nobody", "late-sales"]
    assert intake.deletions.delete("named", ERIKA, None) == 4
    assert jobs_in(folder) == []


@pytest.mark.parametrize("identity", ["O'Neill", 'a"b\\', "ä\U0001f600", "x' OR 'a'='a", "%", "4711"])
def test_any_text_can_be_an_id(
    jobs: Jobs, scorer: Scorer, intake: Intake, store: LogStore, folder: Path, identity: str
) -> None:
    log_row(jobs, scorer, "a", identity)
    log_row(jobs, scorer, "b", f"{identity} ")
    intake.run()
    assert intake.deletions.delete("named", identity, None) == 1
    assert jobs_in(folder) == ["b"]


def test_a_deletion_that_a_full_disk_fails_is_done_when_it_is_asked_for_again(store: LogStore, folder: Path) -> None:
    for identity in (ERIKA, "max"):
        add_file(store, YESTERDAY, [identity], identity=identity)
    merge(store)
    deletions = Deletions(store)
    for step in ("observer.log.store._flush", "observer.log.store.LogStore._complete"):
        with patch(step, side_effect=OSError(errno.ENOSPC, "full")), pytest.raises(OSError, match="full"):
            deletions.delete("sum", ERIKA, None)
    deletions.delete("sum", ERIKA, None)
    assert jobs_in(folder) == ["max"]
    assert files_with(folder, ERIKA) == []


def test_a_deletion_is_forgotten_when_no_job_can_wait_that_long(store: LogStore) -> None:
    deletions = Deletions(store)
    with patch("time.time", return_value=time.time() - Retention.unended_jobs - 2 * DAY):
        deletions.delete("sum", "old", None)
    deletions.delete("sum", "new", None)
    assert deletions.condition("sum").count("sha256(id)") == 1
    assert deletions.condition("other") == "false"

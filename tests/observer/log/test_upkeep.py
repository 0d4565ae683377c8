"""Merging loses and repeats no row; what is too old or too much is removed, the oldest days first."""

from __future__ import annotations

import threading
from datetime import datetime, tzinfo
from pathlib import Path
from unittest.mock import patch

import pytest

from observer.log.deletion import Deletion, Deletions
from observer.log.outcomes import OUTCOMES, Outcomes
from observer.log.store import LogStore, Partition
from observer.log.upkeep import GB, MOST_SMALL, merge, remove_old
from tests.observer.conftest import TODAY, YESTERDAY, rows_of
from tests.observer.log.files import add_file, days_ago, jobs_in

FOREVER = 3650
"""Days."""


class Noon(datetime):
    """The time is noon of `TODAY`, also if the tests go on after midnight."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Noon:
        return cls.fromisoformat(f"{TODAY}T12:00:00").replace(tzinfo=tz)


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("observer.log.upkeep.datetime", Noon)


def days_of(store: LogStore, model: str | None = None) -> list[str]:
    return [partition.day for partition in store.partitions(model)]


def test_the_files_of_a_day_that_is_over_become_one_with_the_same_rows(store: LogStore, folder: Path) -> None:
    for number in range(5):
        add_file(store, YESTERDAY, [f"j{number}", f"j{number + 5}"], second=number)
    before = rows_of(store)
    merge(store)
    assert [len(store.files(partition)) for partition in store.partitions()] == [1]
    assert jobs_in(folder) == [f"j{number}" for number in range(10)]
    assert rows_of(store) == before


def test_a_row_that_is_there_twice_stays_once_as_it_first_was(store: LogStore, folder: Path) -> None:
    add_file(store, YESTERDAY, ["b", "c"], second=2)
    add_file(store, YESTERDAY, ["a", "b"], second=1)
    add_file(store, YESTERDAY, ["a"], second=3)
    merge(store)
    assert jobs_in(folder) == ["a", "b", "c"]
    assert [(row["job"], row["time"][-10:-8]) for row in rows_of(store)] == [("a", "01"), ("b", "01"), ("c", "02")]


def test_a_job_of_several_rows_keeps_all_of_them(store: LogStore, folder: Path) -> None:
    for job in ("a", "b"):
        path = add_file(store, YESTERDAY, [job])
        with store.database() as database:
            rows = f"SELECT * REPLACE (range::INTEGER AS row) FROM read_parquet('{path}'), range(3)"
            database.execute(f"COPY (SELECT * EXCLUDE (range) FROM ({rows})) TO '{path}.new' (FORMAT parquet)")
        path.with_name(f"{path.name}.new").replace(path)
    merge(store)
    assert jobs_in(folder) == ["a"] * 3 + ["b"] * 3


def test_files_of_today_are_merged_once_they_are_many_and_a_large_one_never(store: LogStore, folder: Path) -> None:
    large = add_file(store, TODAY, [f"large-{number}" for number in range(1000)])
    for number in range(MOST_SMALL - 1):
        add_file(store, TODAY, [f"j{number}"])
    (partition,) = store.partitions()
    with patch("observer.log.upkeep.SMALL", large.stat().st_size):
        merge(store)
        assert len(store.files(partition)) == MOST_SMALL
        add_file(store, TODAY, ["x"])
        merge(store)
    assert len(store.files(partition)) == 2
    assert large in store.files(partition)
    assert len(set(jobs_in(folder))) == len(jobs_in(folder)) == 1000 + MOST_SMALL


def test_models_and_days_are_merged_each_on_its_own(store: LogStore, folder: Path) -> None:
    for model in ("sum", "other"):
        for day in (days_ago(2), YESTERDAY):
            for job in ("a", "b"):
                add_file(store, day, [f"{model}-{day}-{job}"], model=model)
    before = jobs_in(folder)
    merge(store)
    assert jobs_in(folder) == before
    assert [len(store.files(partition)) for partition in store.partitions()] == [1] * 4
    assert {row["job"][:-2] for row in rows_of(store, "other", until=f"{YESTERDAY}T00:00:00Z")} == {
        f"other-{days_ago(2)}"
    }


@pytest.mark.parametrize("upkeep", ["merge", "remove_old"])
def test_a_deletion_beside_it_waits(store: LogStore, folder: Path, upkeep: str) -> None:
    add_file(store, YESTERDAY, ["a"], identity="Erika")
    add_file(store, YESTERDAY, ["b"])
    add_file(store, YESTERDAY, ["c"])
    deletion = threading.Thread(target=Deletions(store).delete, args=("sum", "Erika", None))
    files = LogStore.files

    def then_delete(self: LogStore, partition: Partition) -> list[Path]:
        listed = files(self, partition)
        if threading.current_thread() is not deletion and deletion.ident is None:
            deletion.start()
            deletion.join(0.5)  # it ends by then, unless it has to wait
        return listed

    with patch.object(LogStore, "files", then_delete):
        if upkeep == "merge":
            merge(store)
        else:
            remove_old(store, lambda _: FOREVER, 20)
    deletion.join()
    assert jobs_in(folder) == ["b", "c"]


def test_a_merge_beside_a_deletion_of_outcomes_waits(store: LogStore, folder: Path) -> None:
    for job in ("a", "b", "c"):
        add_file(store, YESTERDAY, [job])
    merging = threading.Thread(target=merge, args=(store,))
    files = LogStore.files

    def then_merge(self: LogStore, partition: Partition) -> list[Path]:
        listed = files(self, partition)
        if threading.current_thread() is not merging and merging.ident is None:
            merging.start()
            merging.join(0.5)  # it ends by then, unless it has to wait
        return listed

    with patch.object(LogStore, "files", then_merge):
        Outcomes(store).forget(Deletion.of("sum", "Erika", None))
        merging.join()
    assert jobs_in(folder) == ["a", "b", "c"]
    assert [len(store.files(partition)) for partition in store.partitions()] == [1]


def test_each_model_loses_the_days_that_it_does_not_keep(store: LogStore) -> None:
    kept = {"sum": 2, "other": 30}
    for days in (31, 30, 3, 2, 0):
        for model in kept:
            add_file(store, days_ago(days), [f"{model}-{days}"], model=model)
    remove_old(store, kept.__getitem__, 20)
    assert days_of(store, "sum") == [days_ago(2), TODAY]
    assert days_of(store, "other") == [days_ago(days) for days in (30, 3, 2, 0)]
    assert not list(store.root.glob(f"*/*/day={days_ago(31)}")), "no empty folder is left"


def test_a_log_that_is_too_large_loses_its_oldest_days_of_any_model(
    store: LogStore, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    days = [days_ago(days) for days in (5, 4, 3, 0)]
    paths = [add_file(store, day, [day], model=model) for day, model in zip(days, ("z", "a", "z", "a"), strict=True)]
    sizes = [path.stat().st_size for path in paths]
    remove_old(store, lambda _: FOREVER, sum(sizes) / GB)
    assert days_of(store) == days, "it is just as large as it may be"
    assert not caplog.messages
    remove_old(store, lambda _: FOREVER, (sum(sizes) - 1) / GB)
    assert days_of(store) == days[1:]
    assert "PREDICTION_LOG_GB" in caplog.text
    remove_old(store, lambda _: FOREVER, sizes[-1] / GB)
    assert days_of(store) == [TODAY]
    assert jobs_in(folder) == [TODAY]


def test_outcomes_count_and_their_oldest_days_go_as_well(store: LogStore, folder: Path) -> None:
    rows = add_file(store, YESTERDAY, ["a"])
    old, new = (folder / OUTCOMES / f"model=sum/day={day}/1.parquet" for day in (days_ago(5), TODAY))
    for file in (old, new):
        file.parent.mkdir(parents=True)
        file.write_bytes(bytes(1000))
    remove_old(store, lambda _: FOREVER, (rows.stat().st_size + 2000) / GB)
    assert old.exists()
    remove_old(store, lambda _: FOREVER, (rows.stat().st_size + 1999) / GB)
    assert not old.exists() and new.exists() and jobs_in(folder) == ["a"]


def test_what_age_removes_does_not_count_as_size(store: LogStore) -> None:
    add_file(store, days_ago(9), ["old"])
    middle, new = add_file(store, days_ago(2), ["middle"]), add_file(store, TODAY, ["new"])
    remove_old(store, lambda _: 3, (middle.stat().st_size + new.stat().st_size) / GB)
    assert days_of(store) == [days_ago(2), TODAY]


def test_within_a_day_the_oldest_file_goes_first(store: LogStore, folder: Path) -> None:
    paths = [add_file(store, TODAY, [job]) for job in ("a", "b", "c")]
    remove_old(store, lambda _: FOREVER, sum(path.stat().st_size for path in paths[1:]) / GB)
    assert jobs_in(folder) == ["b", "c"]

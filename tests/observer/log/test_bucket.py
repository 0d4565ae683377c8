"""A copy of the log in a bucket is the log of one moment, whatever is killed, and an empty folder goes on from it."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from broker.sides.gateway.job_client import Jobs
from broker.sides.observer import BEGINNING
from contract.settings import Settings
from contract.work.observation import Observation, ObservationAction
from observer.log.bucket import LogBucket
from observer.log.deletion import Deletions
from observer.log.states import VersionStates
from observer.log.store import STATE, InUse, LogStore
from observer.log.upkeep import merge
from observer.quality import Looked
from observer.service import PredictionLog
from storage.disk import StoreError
from storage.objects import Objects, Tag
from tests.gateway.conftest import settings_in
from tests.observer.conftest import YESTERDAY, predict, rows_of
from tests.observer.log.files import add_file, files_with, jobs_in, opened
from tests.stacks.faulty_store import FaultyStore
from tests.stacks.object_store import S3, s3_server
from worker.scorer import Scorer


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@dataclass(frozen=True)
class Place:
    """A URL in a bucket, and folders of machines that come and go."""

    s3: S3
    url: str
    tmp_path: Path

    def objects(self, port: int = 0) -> Objects:
        return Objects.at("PREDICTION_LOG_URL", self.url, self.s3.options(port))

    def contents(self) -> dict[str, bytes]:
        """Return all objects but `state.json`, by key."""
        objects = self.objects()
        keys = [entry.key for entry in objects.entries("") if entry.key != STATE]
        return {key: objects.read(key, 2**24)[0] for key in keys}

    def fetched(self, name: str) -> LogStore:
        """Return the log of a new machine."""
        store = LogStore(self.tmp_path / name, BEGINNING)
        assert LogBucket(store, self.objects()).fetch()
        return store


@pytest.fixture
def place(s3: S3, tmp_path: Path) -> Place:
    return Place(s3, s3.bucket(), tmp_path)


def copy(bucket: LogBucket) -> None:
    while bucket.copy(lambda: True):
        pass


def files_of(store: LogStore) -> dict[str, bytes]:
    """Return what a copy of the log has to hold."""
    paths = [path for path in store.folder.rglob("*") if path.is_file() and ".draft" not in path.parts]
    return {store.relative(path): path.read_bytes() for path in paths if path.name not in (STATE, ".lock")}


@pytest.mark.slow
def test_each_change_is_copied_under_the_path_of_its_file(place: Place, store: LogStore) -> None:
    bucket, states = LogBucket(store, place.objects()), VersionStates(store, "drift")
    changes = [
        lambda: [add_file(store, YESTERDAY, [f"{name}-{identity}"], identity=identity) for name, identity in PEOPLE],
        lambda: states.write(("sum", 1), {"rows": 4}),
        lambda: merge(store),
        lambda: states.write(("sum", 1), {"rows": 5}),
        lambda: Deletions(store).delete("sum", "max", None),
        lambda: states.remove(("sum", 1)),
        lambda: Deletions(store).delete("sum", "erika", None),
    ]
    for number, change in enumerate(changes):
        change()
        copy(bucket)
        assert place.contents() == files_of(store), number
    assert list(place.contents()) == ["deletions.json"]


PEOPLE = list(itertools.product(("a", "b"), ("erika", "max")))


def test_an_empty_log_asks_the_store_for_nothing(place: Place, s3: S3, store: LogStore) -> None:
    faulty = FaultyStore(s3.port)
    try:
        copy(LogBucket(store, place.objects(faulty.port)))
    finally:
        faulty.close()
    assert not faulty.seen


def test_a_restart_sends_no_parquet_again(place: Place, s3: S3, store: LogStore) -> None:
    sent = list[str]()
    faulty = FaultyStore(s3.port, lambda method, path: sent.append(f"{method} {path}") or "")  # type: ignore[func-returns-value]
    try:
        for job in ("a", "b"):
            add_file(store, YESTERDAY, [job])
            copy(LogBucket(store, place.objects(faulty.port)))
    finally:
        faulty.close()
    assert len([one for one in sent if one.startswith("PUT") and ".parquet" in one]) == 2


class Killed(BaseException):
    """The process is gone."""


class Dying(Objects):
    """Kills its process before it writes or deletes once more than so often."""

    def __init__(self, objects: Objects, steps: int) -> None:
        super().__init__(objects._store, objects.url)
        self._left = steps

    def _put(self, *arguments: Any) -> Tag:
        self._step()
        return super()._put(*arguments)

    def delete(self, keys: Sequence[str]) -> None:
        self._step()
        super().delete(keys)

    def _step(self) -> None:
        if not self._left:
            raise Killed
        self._left -= 1


STEPS = 4
"""Of a round: state, file, state, deletion."""


@pytest.mark.slow
@pytest.mark.parametrize("first", range(STEPS))
def test_kills_at_any_two_steps_leave_the_log_of_one_moment(place: Place, first: int) -> None:
    moments, logged, folder = [["a", "b"], ["a", "b", "c"]], 0, place.tmp_path
    with opened(folder / "log") as store:
        for job in ("a", "b"):
            add_file(store, YESTERDAY, [job])
        copy(LogBucket(store, place.objects()))
        add_file(store, YESTERDAY, ["c"])
        merge(store)
        with pytest.raises(Killed):
            copy(LogBucket(store, Dying(place.objects(), first)))
    for second in range(STEPS + 1):
        with opened(folder / "log") as store, suppress(Killed):
            copy(LogBucket(store, Dying(place.objects(), second)))
        other = Place(place.s3, place.s3.bucket(), folder)
        for entry in place.objects().entries(""):  # fetching takes the copy over
            other.objects().write(entry.key, place.objects().read(entry.key, 2**24)[0])
        fetched = other.fetched(f"fetched-{second}")
        jobs = jobs_in(fetched.folder)
        assert jobs in moments[logged:], second
        assert fetched.last.position == f"{len(jobs):013}-0", "what is not there is read again"
        logged = moments.index(jobs)
        add_file(fetched, YESTERDAY, ["d"])
        merge(fetched)
        copy(LogBucket(fetched, other.objects()))
        assert other.contents() == files_of(fetched), second
        fetched.close()
    assert logged == 1
    with opened(folder / "log") as store:
        assert place.contents() == files_of(store)


def test_what_is_merged_while_it_is_sent_is_there_once(place: Place, s3: S3, store: LogStore) -> None:
    for job in ("a", "b", "c"):
        add_file(store, YESTERDAY, [job])
    left = [lambda: merge(store)]

    def merge_once(_method: str, path: str) -> str:
        if ".parquet" in path and left:
            left.pop()()
        return ""

    faulty = FaultyStore(s3.port, merge_once)
    try:
        copy(LogBucket(store, place.objects(faulty.port)))
    finally:
        faulty.close()
    assert not left
    assert place.contents() == files_of(store)
    assert jobs_in(place.fetched("fetched").folder) == ["a", "b", "c"]


def test_a_round_that_may_not_go_on_is_completed_by_the_next(place: Place, store: LogStore) -> None:
    bucket = LogBucket(store, place.objects())
    for job in ("a", "b"):
        add_file(store, YESTERDAY, [job])
    once = iter([True, False])
    assert bucket.copy(lambda: next(once))
    assert len(place.contents()) == 1
    copy(bucket)
    assert place.contents() == files_of(store)
    assert jobs_in(place.fetched("fetched").folder) == ["a", "b"]


def test_a_state_that_could_not_be_written_is_written_later(place: Place, s3: S3, store: LogStore) -> None:
    add_file(store, YESTERDAY, ["a"])
    writes = itertools.count()
    failing = [True]
    faulty = FaultyStore(
        s3.port, lambda method, _: "unavailable" if failing[0] and method == "PUT" and next(writes) > 1 else ""
    )
    bucket = LogBucket(store, place.objects(faulty.port))
    try:
        with pytest.raises(StoreError, match=f"cannot write {STATE}"):
            bucket.copy(lambda: True)
        failing[0] = False
        copy(bucket)
    finally:
        faulty.close()
    assert jobs_in(place.fetched("fetched").folder) == ["a"]


def test_a_file_that_was_sent_in_vain_does_not_stand_for_another_of_its_name(place: Place, store: LogStore) -> None:
    for job in ("a", "b"):
        add_file(store, YESTERDAY, [job])
    copy(LogBucket(store, place.objects()))
    for rows in (1, 2):
        VersionStates(store, "drift").write(("sum", 1), {"rows": rows})
    merge(store)
    with pytest.raises(Killed):
        LogBucket(store, Dying(place.objects(), 3)).copy(lambda: True)
    in_vain = place.contents()
    fetched = place.fetched("fetched")
    add_file(fetched, YESTERDAY, ["c"])
    merge(fetched)
    assert {key for key, data in files_of(fetched).items() if in_vain.get(key, data) != data}
    copy(LogBucket(fetched, place.objects()))
    assert place.contents() == files_of(fetched)


@pytest.mark.parametrize("fault", ["unavailable", "lost", "half"])
def test_a_store_that_fails_at_any_request_is_caught_up_with(place: Place, s3: S3, store: LogStore, fault: str) -> None:
    add_file(store, YESTERDAY, ["a"])
    failing = [True]
    faulty = FaultyStore(s3.port, lambda method, _: fault if failing[0] and method != "GET" else "")
    bucket = LogBucket(store, place.objects(faulty.port))
    try:
        for job in ("b", "c"):
            with suppress(StoreError):
                bucket.copy(lambda: True)
            add_file(store, YESTERDAY, [job])
            merge(store)
        failing[0] = False
        copy(bucket)
    finally:
        faulty.close()
    assert place.contents() == files_of(store)
    assert jobs_in(place.fetched("fetched").folder) == ["a", "b", "c"]


def test_a_folder_that_was_emptied_does_not_empty_the_store(place: Place, store: LogStore) -> None:
    bucket = LogBucket(store, place.objects())
    add_file(store, YESTERDAY, ["a"])
    copy(bucket)
    before = place.contents()
    shutil.rmtree(store.folder)
    store.folder.mkdir()
    with pytest.raises(FileNotFoundError):
        bucket.copy(lambda: True)
    add_file(store, YESTERDAY, ["b"])
    for again in (bucket, LogBucket(store, place.objects())):
        with pytest.raises(InUse, match="another folder"):
            again.copy(lambda: True)
    assert place.contents() == before


def test_an_observer_whose_log_another_one_has_fetched_writes_no_more(place: Place, store: LogStore) -> None:
    add_file(store, YESTERDAY, ["a"])
    first = LogBucket(store, place.objects())
    copy(first)
    with opened(place.tmp_path / "second") as second:
        bucket = LogBucket(second, place.objects())
        assert bucket.fetch()
        add_file(second, YESTERDAY, ["b"])
        add_file(store, YESTERDAY, ["c"])
        assert first.copy(lambda: True)
        with pytest.raises(InUse, match=f"{place.url} has the log of another folder"):
            first.copy(lambda: True)
        copy(bucket)
        assert place.contents() == files_of(second)


def test_what_is_no_file_of_a_log_is_neither_fetched_nor_deleted(place: Place, store: LogStore) -> None:
    add_file(store, YESTERDAY, ["a"])
    others = {"models/loan/1": b"x", "predictions/model=sum/version=1/notes.txt": b"x", "_SUCCESS": b""}
    for key, data in others.items():
        place.objects().write(key, data)
    copy(LogBucket(store, place.objects()))
    fetched = place.fetched("fetched")
    assert files_of(fetched) == files_of(store)
    merge(fetched)
    copy(LogBucket(fetched, place.objects()))
    assert others.items() <= place.contents().items()


@pytest.mark.parametrize("text", ["", "[]", '{"position": 1}', '{"rows": [], "position": "0-0", "worse": 1}'])
def test_a_damaged_state_is_an_error_with_its_place(place: Place, store: LogStore, text: str) -> None:
    place.objects().write(STATE, text.encode())
    with pytest.raises(StoreError, match=rf"state\.json of {place.url} is damaged"):
        LogBucket(store, place.objects()).fetch()


@pytest.fixture
def settings(place: Place, redis_url: str, tmp_path: Path, models: Path) -> Settings:
    return replace(
        settings_in(tmp_path, redis_url),
        prediction_log_dir=tmp_path / "log",
        prediction_log_url=place.url,
        store_options_file=place.s3.options(),
    )


def send(log: PredictionLog) -> None:
    assert log.bucket
    copy(log.bucket)


def outcomes(*jobs: str) -> Observation:
    return Observation(ObservationAction.ADD_OUTCOMES, "sum", outcomes=[{"job": job, "outcome": 1} for job in jobs])


def test_a_log_whose_folder_is_lost_goes_on_from_the_store(
    place: Place, settings: Settings, redis: Redis, jobs: Jobs, scorer: Scorer
) -> None:
    log = PredictionLog.open(settings, redis)
    for job in ("a", "b"):
        predict(jobs, scorer, job)
        log.take_in()
    log.add_outcomes(outcomes("a"))
    VersionStates(log.store, "drift").write(("other", 1), {"rows": 2})
    VersionStates(log.store, "quality").write(("sum", 1), asdict(Looked(looks=3)))
    send(log)
    before, rows = files_of(log.store), rows_of(log.store)
    predict(jobs, scorer, "c")
    log.store.close()
    shutil.rmtree(settings.prediction_log_dir)

    log = PredictionLog.open(settings, redis)
    assert files_of(log.store) == before
    assert rows_of(log.store) == rows
    assert log.reports.quality.of(("sum", 1)).looks == 3
    assert log.add_outcomes(outcomes("a", "b")) == {"new": 1, "corrected": 0, "repeated": 1}
    log.take_in()
    predict(jobs, scorer, "d")
    log.take_in()
    merge(log.store)
    assert jobs_in(settings.prediction_log_dir) == ["a", "b", "c", "d"]
    send(log)
    assert place.contents() == files_of(log.store)
    log.store.close()
    log = PredictionLog.open(settings, redis)  # which is not empty
    send(log)
    assert jobs_in(settings.prediction_log_dir) == ["a", "b", "c", "d"]
    log.store.close()


def test_an_empty_log_waits_for_a_store_that_is_away(
    place: Place, settings: Settings, redis: Redis, store: LogStore, caplog: pytest.LogCaptureFixture
) -> None:
    add_file(store, YESTERDAY, ["a"])
    copy(LogBucket(store, place.objects()))
    faulty = FaultyStore(place.s3.port, lambda _method, _path: "" if WAITS in caplog.text else "unavailable")
    elsewhere = replace(
        settings,
        prediction_log_dir=place.tmp_path / "elsewhere",
        store_options_file=place.s3.options(faulty.port),
    )
    try:
        PredictionLog.open(elsewhere, redis).store.close()
    finally:
        faulty.close()
    assert jobs_in(elsewhere.prediction_log_dir) == ["a"]
    assert caplog.text.count(WAITS) == 1


WAITS = "the prediction log waits to be fetched: cannot read state.json of s3://"


def log_of_erika(settings: Settings, redis: Redis, jobs: Jobs, scorer: Scorer) -> PredictionLog:
    log = PredictionLog.open(settings, redis)
    for identity in ("erika-mustermann", "max"):
        predict(jobs, scorer, f"job-{identity}", logged={"ids": [identity]})
    log.take_in()
    log.add_outcomes(
        replace(outcomes(), outcomes=[{"id": "erika-mustermann", "outcome": 1}, {"id": "max", "outcome": 0}])
    )
    send(log)
    return log


FORGET = Observation(ObservationAction.DELETE_PREDICTIONS, "sum", id="erika-mustermann")


def left_in(place: Place) -> list[str]:
    """Return the objects that have the text."""
    for key, data in place.contents().items():
        path = place.tmp_path / "objects" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return files_with(place.tmp_path / "objects", "erika-mustermann")


def test_nothing_of_a_person_who_is_deleted_is_left_in_the_store(
    place: Place, settings: Settings, redis: Redis, jobs: Jobs, scorer: Scorer
) -> None:
    log = log_of_erika(settings, redis, jobs, scorer)
    assert left_in(place)
    shutil.rmtree(place.tmp_path / "objects")
    assert log.delete_predictions(FORGET) == {"deleted": 1}
    send(log)
    assert left_in(place) == []
    assert jobs_in(settings.prediction_log_dir) == ["job-max"]
    log.store.close()


def test_a_deletion_that_was_not_sent_whole_is_repeated_by_the_next_machine(
    place: Place, settings: Settings, redis: Redis, jobs: Jobs, scorer: Scorer
) -> None:
    log = log_of_erika(settings, redis, jobs, scorer)
    log.delete_predictions(FORGET)
    assert log.bucket
    with pytest.raises(Killed):
        LogBucket(log.store, Dying(place.objects(), 2)).copy(lambda: True)  # deletions.json is sent
    log.store.close()
    shutil.rmtree(settings.prediction_log_dir)

    log = PredictionLog.open(settings, redis)
    assert jobs_in(settings.prediction_log_dir) == ["job-max"]
    send(log)
    assert left_in(place) == []
    log.store.close()

"""A mirror keeps a folder as the bucket is: at once when a change is announced, soon when it is not."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from broker.state.mirrors import announce, mirror_reports, wait_for_mirrors
from contract.model.repository import Repository
from contract.work.jobs import Status
from mirror.service import LOOK_EVERY
from runtime.health import ask
from scoring.key_files import private_key, public_keys
from scoring.trust import Trust
from storage.models.bucket import ModelBucket
from storage.models.mirrored import MirroredRepository
from storage.objects import Objects
from tests.stacks.faulty_store import FaultyStore, at_random
from tests.stacks.mirrors import MirrorProcess
from tests.stacks.object_store import S3, s3_server
from tests.stacks.workers import worker_cluster
from tests.storage.models.test_mirrored import add
from tests.support import DEADLINE, Bomb, until
from trainer.publishing.aliases import delete_version, move_alias
from trainer.publishing.resign import sign_version
from trainer.publishing.signing import make_keys


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def store(s3: S3) -> Iterator[FaultyStore]:
    proxy = FaultyStore(s3.port)
    yield proxy
    proxy.close()


@pytest.fixture
def url(s3: S3) -> str:
    return s3.bucket()


@pytest.fixture
def writer(s3: S3, url: str, redis: Redis, tmp_path: Path) -> MirroredRepository:
    """What a trainer of another machine publishes with."""
    (tmp_path / "trainer").mkdir()
    bucket = ModelBucket(Objects.at("MODELS_URL", url, s3.options()))
    return MirroredRepository(tmp_path / "trainer", bucket, lambda model: announce(redis, model))


@pytest.fixture
def look_every() -> float:
    return LOOK_EVERY


@pytest.fixture
def mirror(
    s3: S3, url: str, store: FaultyStore, redis_url: str, redis: Redis, tmp_path: Path, look_every: float
) -> Iterator[MirrorProcess]:
    options = s3.options(store.port)
    process = MirrorProcess(redis_url, tmp_path / "models", url, options, tmp_path / "log", look_every=look_every)
    process.start()
    yield process
    process.kill()


def waited(redis: Redis, model: str) -> dict[str, str]:
    """What mirrors lack of the last change of the model, after a while."""
    return wait_for_mirrors(redis, model, announce(redis, model), time.monotonic() + DEADLINE)


@pytest.mark.parametrize("look_every", [100 * DEADLINE])
def test_announced_changes_are_shown_long_before_the_next_look_at_the_store(
    writer: MirroredRepository, mirror: MirrorProcess, redis: Redis
) -> None:
    until(lambda: ask(mirror.health) == "", "it has fetched all models, which are none")
    until(lambda: mirror_reports(redis), "it reports")
    reader = Repository(mirror.models)
    add(writer)
    move_alias(writer, "sum", "current", 1)
    until(lambda: reader.aliases("sum") == {"current": 1}, "the alias")
    assert reader.manifest("sum", 1) == writer.manifest("sum", 1)
    add(writer)
    assert waited(redis, "sum") == {}
    assert reader.versions("sum") == [1, 2]
    delete_version(writer, "sum", 2)
    until(lambda: reader.versions("sum") == [1], "the version is gone")


def test_what_was_never_announced_is_found_in_the_store(
    writer: MirroredRepository, url: str, s3: S3, redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    """It was changed while Redis was away, or before the mirror began."""
    add(writer)
    redis.flushall()
    process = MirrorProcess(redis_url, tmp_path / "models", url, s3.options(), tmp_path / "log")
    process.start()
    try:
        until(lambda: Repository(tmp_path / "models").versions("sum") == [1], "the version")
    finally:
        assert process.stop() == 0
    assert mirror_reports(redis) == {}, "nobody waits for it any more"


def test_a_mirror_killed_at_any_moment_shows_whole_versions_and_goes_on(
    writer: MirroredRepository, mirror: MirrorProcess, redis: Redis
) -> None:
    reader = Repository(mirror.models)
    for version in range(1, 6):
        add(writer)
        move_alias(writer, "sum", "current", version)
        mirror.kill()
        for shown in reader.versions("sum"):
            assert Repository(mirror.models).read_manifest("sum", shown).version == shown
        assert set(reader.aliases("sum").values()) <= set(reader.versions("sum"))
        mirror.start()
    until(lambda: reader.aliases("sum") == {"current": 5, "previous": 4}, "the last alias")


def test_while_the_store_is_away_the_mirror_says_so_and_readers_go_on(
    writer: MirroredRepository, mirror: MirrorProcess, store: FaultyStore, redis: Redis
) -> None:
    add(writer)
    move_alias(writer, "sum", "current", 1)
    reader = Repository(mirror.models)
    until(lambda: reader.aliases("sum") == {"current": 1}, "the alias")
    store.choose = lambda _method, _path: "unavailable"
    add(writer)
    until(lambda: [report for report in mirror_reports(redis).values() if report.away], "it says so")
    (why,) = {report.away for report in mirror_reports(redis).values()}
    assert "cannot" in why and "s3://" in why
    assert reader.resolve("sum") == ("sum", 1) and reader.versions("sum") == [1]
    assert ask(mirror.health) == "", "a restart would not help"
    assert "test" not in why, "no key of the store"
    store.choose = lambda _method, _path: ""
    until(lambda: reader.versions("sum") == [1, 2], "the version")
    until(lambda: not any(report.away for report in mirror_reports(redis).values()), "it says so")


@pytest.mark.slow
def test_a_store_that_fails_now_and_then_delays_changes_and_falsifies_none(
    writer: MirroredRepository, mirror: MirrorProcess, store: FaultyStore, redis: Redis
) -> None:
    store.choose = at_random(0.3, seed=1)
    for version in range(1, 9):
        add(writer)
        move_alias(writer, "sum", "current", version)
    reader = Repository(mirror.models)
    until(lambda: reader.aliases("sum") == {"current": 8, "previous": 7}, "the last alias")
    for version in range(1, 9):
        for name in ("manifest.json", "model.joblib", "report/report.html"):
            files = [root / "sum" / "versions" / str(version) / name for root in (mirror.models, writer.root)]
            assert files[0].read_bytes() == files[1].read_bytes(), (version, name)
    assert store.seen["half"] and store.seen["unavailable"] and store.seen["lost"]
    shutil.rmtree(writer.root)


@pytest.mark.slow
def test_a_quiet_mirror_asks_the_store_once_in_a_while_for_all_models_together(
    writer: MirroredRepository, mirror: MirrorProcess, store: FaultyStore
) -> None:
    for model in ("sum", "other"):
        add(writer, model)
    until(lambda: Repository(mirror.models).versions("other") == [1], "the models")
    until(lambda: store.seen["GET"] > 0, "it has asked")
    before = store.seen.copy()
    until(lambda: store.seen["GET"] > before["GET"], "the next look", deadline=3 * LOOK_EVERY)
    assert store.seen["GET"] == before["GET"] + 1


def test_who_can_write_to_the_bucket_runs_nothing(
    mirror: MirrorProcess, writer: MirroredRepository, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    private, public = make_keys(tmp_path / "keys")
    move_alias(writer, "sum", "current", add(writer))
    sign_version(writer, private_key(private, "SIGNING_KEY"), Trust(public_keys(public)), "sum", 1)
    with worker_cluster(redis_url, mirror.models, tmp_path) as cluster:
        settings = {"verify_key": public, "models_url": mirror.url, "store_options_file": mirror.options}
        cluster.start(**settings).ready()
        (signed,) = cluster.ended(cluster.submit("sum", [1.0], prefix="signed"))
        assert signed.status is Status.SUCCEEDED, signed.error
        # A stranger has no key, and everything else.
        move_alias(writer, "sum", "current", add(writer, estimator=Bomb(tmp_path / "trace")))
        assert waited(redis, "sum") == {}
        (foreign,) = cluster.ended(cluster.submit("sum", [1.0], prefix="foreign", version=2))
        assert foreign.error and foreign.error.code == "not_trusted", foreign
    assert not (tmp_path / "trace").exists()

"""Files of users in a bucket: whole or not there, within the quota, and gone once nobody needs them."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.errors import ModelgateError
from contract.settings import MB
from storage.disk import StoreError
from storage.objects import Objects
from storage.spool.bucket import BucketSpool
from storage.spool.names import tag_of
from storage.spool.store import UploadTooLarge
from tests.stacks.faulty_store import FaultyStore
from tests.stacks.object_store import S3, s3_server

A, B = tag_of("a"), tag_of("b")


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


class Machines:
    """Machines with a folder each, and one bucket of so many megabytes."""

    def __init__(self, s3: S3, folder: Path, megabytes: int = 100) -> None:
        self._s3, self._folder, self._url, self._megabytes = s3, folder, s3.bucket(), megabytes

    def __call__(self, name: str, port: int = 0) -> BucketSpool:
        objects = Objects.at("SPOOL_URL", self._url, self._s3.options(port))
        (self._folder / name).mkdir(exist_ok=True)
        return BucketSpool(objects, self._folder / name, self._megabytes)


@pytest.fixture
def machines(s3: S3, tmp_path: Path) -> Machines:
    return Machines(s3, tmp_path)


def send(spool: BucketSpool, data: bytes, tag: str = "", job: str = "") -> str:
    with spool.incoming(len(data), 50 * MB, tag) as upload:
        file = upload.open(job)
        for start in range(0, len(data), 100_000):
            file.write(data[start : start + 100_000])
        return file.keep()


def test_a_list_that_breaks_off_is_asked_for_again(machines: Machines, s3: S3) -> None:
    names = {send(machines("north"), b"a", A) for _ in range(3)}
    left = ["half"]
    store = FaultyStore(s3.port, lambda _method, path: left.pop() if "list-type" in path and left else "")
    try:
        listed = {entry.key for entry in machines("south", store.port).objects.entries("")}
    finally:
        store.close()
    assert not left
    assert listed == names


@pytest.mark.parametrize("size", [0, 1, 3 * MB, 20 * MB])
def test_what_one_machine_receives_another_reads_whole_or_in_ranges(machines: Machines, size: int) -> None:
    north, south, data = machines("north"), machines("south"), os.urandom(size)
    name = send(north, data, A)
    assert name.endswith(f"-{A}.upload")
    assert south.upload(name).read_bytes() == data
    assert south.digest(name) == hashlib.sha256(data).hexdigest()
    with machines("third").open(name) as file:
        file.seek(size // 2)
        assert file.read(10) == data[size // 2 : size // 2 + 10]
        assert file.seek(0, os.SEEK_END) == size
    assert not list((south.folder / "..").resolve().glob("third/*")), "nothing was copied for the ranges"


def test_the_files_of_a_job_are_seen_everywhere_once_they_are_whole(machines: Machines) -> None:
    north, south = machines("north"), machines("south")
    send(north, b"rows", A, job="j1")
    folder = south.job("j1")
    assert folder.names() == {"input", f"owner.{A}"} and folder.tag == A
    assert folder.fetch(folder.input).read_bytes() == b"rows"
    folder.part(0).write_bytes(b"part")
    assert "0.part" not in north.job("j1").names()
    folder.share(folder.part(0))
    assert north.job("j1").fetch(north.job("j1").part(0)).read_bytes() == b"part"
    assert [job.job_id for job in north.jobs()] == ["j1"]
    for name in ("output", "errors"):
        (folder.path / name).write_bytes(name.encode())
        folder.share(folder.path / name)
    north.job("j1").keep_results()
    assert north.job("j1").names() == {"output", "errors", f"owner.{A}"}
    with north.job("j1").open(north.job("j1").output) as file:
        assert file.read() == b"output"
    south.job("j1").remove()
    assert not north.job("j1").names() and not north.jobs()
    with pytest.raises(FileNotFoundError):
        north.job("j1").open(north.job("j1").output)


def test_an_upload_that_breaks_off_leaves_nothing(machines: Machines) -> None:
    north = machines("north")

    def break_off() -> None:
        with north.incoming(20 * MB, 50 * MB, A) as upload:
            file = upload.open("j1")
            for _ in range(18):
                file.write(bytes(MB))
            raise ConnectionError

    with pytest.raises(ConnectionError):
        break_off()
    assert list(north.objects.entries("")) == [] and north.used() == 0


def test_an_upload_beyond_its_limit_or_the_quota_is_refused(s3: S3, tmp_path: Path) -> None:
    machines = Machines(s3, tmp_path, megabytes=10)
    north, south = machines("north"), machines("south")
    with pytest.raises(UploadTooLarge), north.incoming(0, 2 * MB, A) as upload:
        upload.open().write(bytes(3 * MB))
    send(north, bytes(6 * MB), A)
    with pytest.raises(ModelgateError, match="6 of 10 MB"):
        send(south, bytes(5 * MB), A)
    with pytest.raises(ModelgateError, match="of them by your owner"):
        send(south, bytes(4 * MB), A)
    send(south, bytes(2 * MB), B)
    assert sorted(entry.size for entry in north.objects.entries("")) == [2 * MB, 6 * MB]


def test_uploads_that_nobody_needs_go_and_the_others_stay(machines: Machines) -> None:
    north, south = machines("north"), machines("south")
    kept, dropped, old = (send(north, b"x") for _ in range(3))
    south.upload(dropped)
    south.discard([dropped, "../x", None, "not there"])
    south.sweep_uploads([kept], orphan_for=-10)
    assert [entry.key for entry in north.objects.entries("")] == [kept]
    assert not (south.folder / dropped).exists() and old != kept


def test_several_processes_of_a_machine_fetch_a_file_once(s3: S3, machines: Machines) -> None:
    name = send(machines("north"), os.urandom(2 * MB))
    store = FaultyStore(s3.port)
    south = machines("south", store.port)
    threads = [threading.Thread(target=south.upload, args=(name,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    assert store.seen["GET"] == 1 and (south.folder / name).stat().st_size == 2 * MB


def test_a_store_that_is_away_is_an_error_with_its_name(s3: S3, machines: Machines) -> None:
    away = machines("north", port=1)
    with pytest.raises(StoreError, match="s3://"):
        send(away, bytes(3 * MB))
    with pytest.raises(StoreError, match="s3://"):
        away.upload("x.upload")

"""Publishers of several machines race for one model, over a store that fails now and then, and are killed meanwhile."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage.models.bucket import ModelBucket
from storage.models.mirrored import MirroredRepository
from storage.objects import Objects
from tests.stacks.faulty_store import FaultyStore, at_random
from tests.stacks.object_store import S3, s3_server
from tests.storage.models.publisher import MODEL
from tests.support import PROJECT, SOAK, until

PUBLISHERS = 3
ROUNDS = 12 * SOAK
"""Times that a publisher is killed."""


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


class Publisher:
    """One machine: a folder, and a process that is started again whenever it is killed."""

    def __init__(self, number: int, url: str, options: Path, folder: Path) -> None:
        self.alias = f"by-{number}"
        self.published: list[int] = []
        self.moved = 0
        self._command = [sys.executable, "-m", "tests.storage.models.publisher", url, options, folder, str(number)]
        folder.mkdir()
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,))
        self._reader.start()

    def _read(self, lines: Iterator[str]) -> None:
        for line in lines:
            what, version = line.split()
            if what == "published":
                self.published.append(int(version))
            else:
                self.moved = int(version)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()


@pytest.mark.waits
def test_no_number_is_given_twice_no_version_is_half_and_no_alias_is_lost(
    s3: S3, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    store = FaultyStore(s3.port, at_random(0.1, seed=2))
    chance, url = random.Random(3), s3.bucket()
    options = s3.options(store.port)
    publishers = [Publisher(number, url, options, tmp_path / str(number)) for number in range(PUBLISHERS)]
    try:
        for _ in range(ROUNDS):
            count = sum(len(publisher.published) for publisher in publishers)
            enough = count + chance.randrange(3)
            until(lambda enough=enough: sum(len(p.published) for p in publishers) > enough, "they publish", 120)  # type: ignore[misc]
            time.sleep(chance.random() / 5)  # a moment of the next publication
            victim = chance.choice(publishers)
            victim.kill()
            victim.start()
    finally:
        for publisher in publishers:
            publisher.kill()
        store.close()
    bucket = ModelBucket(Objects.at("MODELS_URL", url, s3.options()))
    head, _ = bucket.head(MODEL)
    givers = defaultdict(list)
    for publisher in publishers:
        for version in publisher.published:
            givers[version].append(publisher.alias)
    assert {version: who for version, who in givers.items() if len(who) > 1} == {}
    assert set(givers) <= set(head.live.versions), "what was published stays"
    (tmp_path / "reader").mkdir()
    reader = MirroredRepository(tmp_path / "reader", bucket)
    assert reader.refresh(MODEL) == []
    for version in reader.versions(MODEL):
        said = json.loads(reader.files(MODEL, version).manifest())
        assert said["version"] == version
        assert reader.files(MODEL, version).open_artifact("model.joblib").read() == json.dumps(said).encode() * 1000
        if version in givers:
            assert givers[version] == [f"by-{said['by']}"]
    for publisher in publishers:
        # One that was killed may have moved it further than it could say.
        assert head.live.aliases.get(publisher.alias, 0) >= publisher.moved
    record_property("versions", len(head.live.versions))
    record_property("numbers", head.last)
    record_property("faults", dict(store.seen))

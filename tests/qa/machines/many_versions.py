"""`python -m tests.qa.machines.many_versions`: what mirrors of many versions ask of the store when nothing changes, and
how soon a new one is shown everywhere. Each version is one of a model of its own: that is the most to ask for."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from broker.state.mirrors import announce, mirror_reports
from contract.model.repository import Repository
from storage.models.bucket import ModelBucket
from storage.models.mirrored import MirroredRepository
from storage.objects import Objects
from tests.qa.machines.__main__ import say
from tests.stacks.faulty_store import FaultyStore
from tests.stacks.mirrors import MirrorProcess
from tests.stacks.object_store import s3_server
from tests.stacks.redis_process import RedisProcess
from tests.storage.models.test_mirrored import add
from tests.support import until
from trainer.publishing.aliases import move_alias

ROUNDS = 20


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.qa.machines.many_versions", description=__doc__)
    parser.add_argument("--versions", type=int, default=10_000)
    parser.add_argument("--mirrors", type=int, default=2)
    parser.add_argument("--quiet", type=int, default=120, help="seconds without a change")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="versions-") as name, ExitStack() as stack:
        folder = Path(name)
        s3, server = stack.enter_context(s3_server(folder)), stack.enter_context(RedisProcess(folder))
        redis, url = stack.enter_context(server.connect()), s3.bucket()
        (folder / "trainer").mkdir()
        bucket = ModelBucket(Objects.at("MODELS_URL", url, s3.options()))
        writer = MirroredRepository(folder / "trainer", bucket, lambda model: announce(redis, model))
        publish(writer, arguments.versions)
        store = FaultyStore(s3.port)
        stack.callback(store.close)
        began, mirrors = time.monotonic(), []
        for number in range(arguments.mirrors):
            models = folder / f"mirror-{number}"
            options = s3.options(store.port)
            mirror = MirrorProcess(server.url, models, url, options, folder / f"log-{number}", f"mirror-{number}")
            mirror.start()
            stack.callback(mirror.kill)
            mirrors.append(mirror)
        until(lambda: all(has_all(mirror, arguments.versions) for mirror in mirrors), "all versions", 3600)
        say(f"{'a new machine has all after':40} {time.monotonic() - began:.0f} s")
        until(lambda: len(mirror_reports(redis)) == len(mirrors), "the mirrors report", 60)
        before = sum(store.seen.values())
        time.sleep(arguments.quiet)
        asked = (sum(store.seen.values()) - before) / 2 / len(mirrors) / arguments.quiet * 60
        say(f"{'requests a minute of a quiet mirror':40} {asked:.1f}")
        say(f"{'memory of a mirror':40} {memory(mirrors[0]):.0f} MB")
        seconds = [shown(writer, mirrors) for _ in range(ROUNDS)]
        say(f"{'a new version is shown everywhere after':40} {spread(seconds)}")


def publish(writer: MirroredRepository, versions: int) -> None:
    """Publish the first version as a trainer does, and the others as copies of it under other names."""
    move_alias(writer, "sum", "current", add(writer))
    objects = writer.bucket.objects
    files = {entry.key: objects.read(entry.key, 10**6)[0] for entry in objects.entries("") if "sum" in entry.key}

    def copy(number: int) -> None:
        for key, data in files.items():
            objects.write(key.replace("sum", f"sum{number}"), data)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(copy, range(1, versions)))


def has_all(mirror: MirrorProcess, versions: int) -> bool:
    time.sleep(1)  # to list them takes a tenth of a second
    return len(Repository(mirror.models).names()) >= versions


def shown(writer: MirroredRepository, mirrors: list[MirrorProcess]) -> float:
    """Return the seconds from the move of an alias to a new version until all mirrors show it."""
    version = add(writer)
    began = time.monotonic()
    move_alias(writer, "sum", "current", version)
    until(lambda: all(Repository(m.models).aliases("sum").get("current") == version for m in mirrors), "it", 120)
    return time.monotonic() - began


def memory(mirror: MirrorProcess) -> float:
    assert mirror.process
    status = Path(f"/proc/{mirror.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


if __name__ == "__main__":
    main()

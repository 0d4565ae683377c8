"""`python -m bench.repository`: measures start, lists and look-ups with 200 models of 5 versions."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from urllib.request import urlopen

from redis import Redis
from sklearn.linear_model import LogisticRegression

from bench.models import fitted
from bench.processes import WORK, DidNotStart, Process, free_port, pss_mb, redis_server, until
from broker.state.load_status import load_statuses
from contract.model.repository import ALIASES_FILE, CURRENT, MANIFEST_FILE, PREVIOUS, VERSIONS_DIR, Repository
from contract.settings import Settings
from trainer import recipes
from trainer.publishing.aliases import move_alias
from trainer.publishing.promotion import promote, roll_back
from trainer.publishing.publish import publish

PATIENCE = 120.0
ONE = "model-000"

Rows = Iterator[tuple[str, str]]


def make(root: Path, models: int, versions: int) -> None:
    """Write `models` small models that are all alike: only their number matters."""
    recipe = dataclasses.replace(recipes.get("iris"), fit=lambda X, y: LogisticRegression(max_iter=500).fit(X, y))
    first = publish(root, *fitted(recipe))
    artifact = Repository(root).version_dir("iris", first.version) / first.artifact.file
    for name in (f"model-{number:03}" for number in range(models)):
        for version in range(1, versions + 1):
            folder = root / name / VERSIONS_DIR / str(version)
            folder.mkdir(parents=True)
            shutil.copy(artifact, folder)
            (folder / MANIFEST_FILE).write_text(dataclasses.replace(first, name=name, version=version).dumps())
        (root / name / ALIASES_FILE).write_text(json.dumps({CURRENT: versions, PREVIOUS: versions - 1}))
    shutil.rmtree(root / "iris")


def reading(root: Path) -> Rows:
    repository = Repository(root)
    yield "the models listed: the first time", f"{milliseconds(repository.names):.1f} ms"
    yield "the models listed: later", f"{milliseconds(repository.names, 20):.1f} ms"
    yield "an alias looked up", f"{1000 * milliseconds(lambda: repository.resolve(ONE), 1000):.1f} µs"
    yield "a version looked up", f"{1000 * milliseconds(lambda: repository.resolve(f'{ONE}@2'), 1000):.1f} µs"
    turns = iter(range(20))
    yield "an alias moved", f"{milliseconds(lambda: move_alias(root, ONE, 'canary', 1 + next(turns) % 2), 20):.1f} ms"


def serving(root: Path, models: int, url: str) -> Rows:
    port = free_port()
    environment = {"REDIS_URL": url, "MODELS_DIR": str(root), "PORT": str(port)}

    def get(path: str) -> bytes:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            body: bytes = answer.read()
            return body

    def lives() -> bool:
        try:
            return bool(get("/health/live"))
        except OSError:
            return False

    with ExitStack() as stack, Redis.from_url(url) as connection:
        stack.callback(start("gateway", environment).stop)
        yield "gateway: start", f"{seconds_until(lives):.1f} s"
        yield "`GET /v1/models`: the first time", f"{milliseconds(lambda: get('/v1/models')):.0f} ms"
        yield "`GET /v1/models`: later", f"{milliseconds(lambda: get('/v1/models'), 20):.0f} ms"
        yield "`GET /v1/models/{name}`", f"{milliseconds(lambda: get(f'/v1/models/{ONE}'), 20):.1f} ms"
        worker = start("worker", environment)
        stack.callback(worker.stop)
        yield "worker: start, until it takes work", f"{seconds_until(lambda: bool(connection.exists('mg:incs'))):.1f} s"

        def share_all() -> bool:
            return any(len(report.loaded) >= 2 * models for report in load_statuses(connection, ONE).values())

        yield f"worker: until its scorers share {2 * models} versions", f"{seconds_until(share_all):.1f} s more"
        yield "worker: memory of all its processes (PSS)", f"{pss_mb(worker.tree()):.0f} MB"
        settings = Settings(redis_url=url, models_dir=root)
        yield "a version loaded and promoted", f"{milliseconds(lambda: promote(settings, connection, ONE, 3)):.0f} ms"
        yield "a roll back", f"{milliseconds(lambda: roll_back(settings, connection, ONE), 10):.0f} ms"


def start(module: str, environment: dict[str, str]) -> Process:
    return Process([sys.executable, "-m", module], environment, WORK / "logs" / f"repository-{module}.log")


def seconds_until(condition: Callable[[], bool]) -> float:
    began = time.monotonic()
    if not until(condition, PATIENCE, every=0.01):
        raise DidNotStart(f"not within {PATIENCE:g} s; the logs are in {WORK / 'logs'}")
    return time.monotonic() - began


def milliseconds(do: Callable[[], object], count: int = 1) -> float:
    """Return the median duration of `count` calls."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        do()
        times.append(time.perf_counter() - began)
    return 1000 * median(times)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.repository", description=__doc__)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--versions", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="repository-") as name, redis_server() as url:
        root = Path(name)
        make(root, chosen.models, chosen.versions)
        sys.stdout.write(f"| {chosen.models} models with {chosen.versions} versions | |\n|---|---|\n")
        for rows in (reading(root), serving(root, chosen.models, url)):
            for what, figure in rows:
                sys.stdout.write(f"| {what} | {figure} |\n")
                sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())

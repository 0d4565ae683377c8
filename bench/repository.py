"""`python -m bench.repository`: what 200 models with 5 versions each cost: start-up, lists, look-ups. Prints a table."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from urllib.request import urlopen

import psutil
from redis import Redis
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from broker.warmup import reports
from contract.repository import ALIASES_FILE, CURRENT, MANIFEST_FILE, VERSIONS_DIR, Repository
from contract.settings import Settings
from launcher import redis_server
from trainer.aliases import move_alias
from trainer.data import load
from trainer.publish import publish
from trainer.recipe import Recipe
from trainer.recipes import iris
from trainer.swap import promote, roll_back
from trainer.train import fit

PORT = 8790
PATIENCE = 120.0


def make(root: Path, models: int, versions: int) -> None:
    """All alike, and small: what is measured is their number."""
    recipe: Recipe = dataclasses.replace(iris.RECIPE, fit=lambda X, y: LogisticRegression(max_iter=500).fit(X, y))
    publish(root, *fit(recipe, load(recipe, None)))
    first = Repository(root).manifest("iris", 1)
    artifact = root / "iris" / VERSIONS_DIR / "1" / first.artifact.file
    for name in (f"model-{number:03}" for number in range(models)):
        for version in range(1, versions + 1):
            folder = root / name / VERSIONS_DIR / str(version)
            folder.mkdir(parents=True)
            shutil.copy(artifact, folder)
            (folder / MANIFEST_FILE).write_text(dataclasses.replace(first, name=name, version=version).dumps())
        (root / name / ALIASES_FILE).write_text(json.dumps({CURRENT: versions, "previous": versions - 1}))
    shutil.rmtree(root / "iris")


@contextmanager
def process(module: str, environment: dict[str, str]) -> Iterator[psutil.Process]:
    with subprocess.Popen([sys.executable, "-m", module], env={**os.environ, **environment}) as started:  # noqa: S603
        try:
            yield psutil.Process(started.pid)
        finally:
            started.send_signal(signal.SIGTERM)


def seconds_until(condition: Callable[[], object]) -> float:
    began = time.monotonic()
    while time.monotonic() < began + PATIENCE:
        if condition():
            return time.monotonic() - began
        time.sleep(0.01)
    raise TimeoutError(f"not within {PATIENCE:g} s")


def answers(path: str) -> bool:
    try:
        return len(get(path)) > 0
    except OSError:
        return False


def get(path: str) -> bytes:
    with urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=60) as answer:  # noqa: S310
        found: bytes = answer.read()
        return found


def timed(do: Callable[[], object], count: int = 1) -> float:
    """Milliseconds, the median."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        do()
        times.append(time.perf_counter() - began)
    return 1000 * median(times)


def measure(root: Path, models: int, versions: int, connection: Redis, url: str) -> Iterator[tuple[str, str]]:
    settings = Settings(redis_url=url, models_dir=root)
    environment = {"REDIS_URL": url, "MODELS_DIR": str(root), "PORT": str(PORT), "WORKER_ID": "bench"}
    repository = Repository(root)
    yield "a reader's first look at all aliases", f"{timed(repository.names):.1f} ms"
    yield "each later one", f"{timed(repository.names, 20):.1f} ms"
    yield "an alias looked up", f"{1000 * timed(lambda: repository.resolve('model-007'), 1000):.1f} µs"
    yield "a version looked up by number", f"{1000 * timed(lambda: repository.resolve('model-007@2'), 1000):.1f} µs"
    yield "an alias moved", f"{timed(lambda: move_alias(root, 'model-007', 'canary', 1 + time.time_ns() % 4), 20):.1f} ms"
    with ExitStack() as stack:
        stack.enter_context(process("gateway", environment))
        yield "gateway: start", f"{seconds_until(lambda: answers('/health/live')):.2f} s"
        yield "`GET /v1/models`: the first time", f"{timed(lambda: get('/v1/models')):.0f} ms"
        get("/v1/models")
        yield "`GET /v1/models`: later", f"{timed(lambda: get('/v1/models'), 20):.0f} ms"
        yield "`GET /v1/models/{name}`", f"{timed(lambda: get('/v1/models/model-042'), 20):.1f} ms"
        worker = stack.enter_context(process("worker", environment))
        yield "worker: start, until it takes work", f"{seconds_until(lambda: connection.exists('mg:incs')):.1f} s"
        all_loaded = seconds_until(lambda: any(len(r.loaded) == 2 * models for r in reports(connection, "model-001").values()))
        yield f"worker: until its scorers share all {2 * models} versions with an alias", f"{all_loaded:.1f} s more"
        memory = sum(child.memory_full_info().pss for child in [worker, *worker.children(recursive=True)])
        yield "worker: memory of all its processes (PSS)", f"{memory / 1e6:.0f} MB"
        numbers = iter(range(versions - 2, 0, -1))
        promotions = [timed(lambda: promote(settings, connection, "model-100", next(numbers))) for _ in range(versions - 2)]
        yield "a version loaded and promoted", f"{median(promotions):.0f} ms"
        yield "a roll back", f"{timed(lambda: roll_back(settings, connection, 'model-100'), 10):.0f} ms"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.repository", description=__doc__)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--versions", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="repository-") as name, ExitStack() as stack:
        root = Path(name) / "models"
        root.mkdir()
        make(root, chosen.models, chosen.versions)
        command, url = redis_server.command(Path(name), "everysec")
        redis = stack.enter_context(subprocess.Popen(command, shell=True))
        stack.callback(redis.terminate)
        connection = Redis.from_url(url)
        seconds_until(lambda: _pings(connection))
        print(f"| {chosen.models} models with {chosen.versions} versions | |\n|---|---|")
        for what, figure in measure(root, chosen.models, chosen.versions, connection, url):
            print(f"| {what} | {figure} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

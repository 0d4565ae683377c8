"""`python -m tests.qa.machines.scaling`: requests a second with 1, 2, 4 and 8 scorers on two machines, of a model that
waits 20 ms for each row. Needs root."""

from __future__ import annotations

import argparse
import http.client
import io
import itertools
import os
import re
import shutil
import statistics
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import cloudpickle
import requests

from tests.flow import estimators
from tests.qa.machines.__main__ import SETTINGS, say
from tests.qa.machines.callers import live
from tests.qa.machines.network import HUB, Machine, make_hub
from tests.stacks.object_store import s3_server
from tests.stacks.sentinels import sentinels
from tests.support import InThreads, until

SCORERS = (1, 2, 4, 8)
WAIT = 0.02
"""Seconds for each row."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.qa.machines.scaling", description=__doc__)
    parser.add_argument("--seconds", type=int, default=20, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if os.environ.get("IN_HUB") != "1":
        command = ["unshare", "--net", "--mount", sys.executable, "-m", "tests.qa.machines.scaling", *sys.argv[1:]]
        os.execvpe(command[0], command, {**os.environ, "IN_HUB": "1"})
    make_hub()
    folder = Path(tempfile.mkdtemp(prefix="scaling-"))
    with ExitStack() as stack:
        s3, redis = stack.enter_context(s3_server(folder, HUB)), stack.enter_context(sentinels(folder, host=HUB))
        shared = {
            **SETTINGS,
            "ALLOWED_HOSTS": ",".join(f"10.204.{number}.2" for number in range(1, 5)),
            "MODELS_URL": s3.bucket(),
            "REDIS_REPLICAS": "0",
            "REDIS_URL": redis.url,
            "SPOOL_URL": s3.bucket(),
            "STORE_OPTIONS_FILE": str(s3.options()),
        }
        gateway = Machine("gateway", 1, folder / "gateway", shared, ["gateway"])
        trainer = Machine("trainer", 2, folder / "trainer", shared, ["trainer"])
        for machine in (gateway, trainer):
            machine.plug_in()
            machine.start()
            stack.callback(machine.kill)
        url = f"http://{gateway.address}:8080"
        until(lambda: live(url), "the gateway serves", 120)
        workers = [Machine(f"worker-{n}", 2 + n, folder / f"worker-{n}", shared, ["worker"]) for n in (1, 2)]
        for worker in workers:
            worker.plug_in()
            stack.callback(worker.kill)
        published = False
        rates: dict[int, list[float]] = {count: [] for count in SCORERS}
        for _ in range(arguments.rounds):
            for count in SCORERS:
                used = workers[: 1 if count == 1 else 2]
                for worker in used:
                    worker.settings = {**shared, "WORKERS": str(count // len(used))}
                    worker.start()
                published = published or until(lambda: publish(url), "the model is published", 180)
                rates[count].append(measured(url, count, arguments.seconds))
                for worker in used:
                    worker.kill()
        one = statistics.median(rates[1])
        for count, found in rates.items():
            median = statistics.median(found)
            spread = f"{min(found):.1f} to {max(found):.1f}"
            say(f"{count} scorers: {median:6.1f} requests/s ({spread}), {median / one / count:.2f} of linear")
    shutil.rmtree(folder)


def publish(url: str) -> bool:
    artifact, sample = io.BytesIO(), "a\n1\n2\n"
    cloudpickle.register_pickle_by_value(estimators)
    cloudpickle.dump(estimators.Versioned(1, WAIT), artifact)
    files = {"file": ("model.pkl", artifact.getvalue()), "sample": ("sample.csv", sample)}
    try:
        return requests.post(f"{url}/v1/models/waits/versions", files=files, timeout=120).ok
    except requests.RequestException:
        return False


def measured(url: str, scorers: int, seconds: int) -> float:
    """Return the answers a second of enough callers, once all scorers answer."""
    callers = Callers(url, 12 * scorers)
    with callers:
        until(lambda: alive(url) == scorers, f"{scorers} scorers", 180)
        enough = callers.answers + 20 * scorers
        until(lambda: callers.answers > enough, "all of them answer", 60)
        before, began = callers.answers, time.monotonic()
        time.sleep(seconds)
        return (callers.answers - before) / (time.monotonic() - began)


def alive(url: str) -> int:
    text = requests.get(f"{url}/metrics", timeout=30).text
    return sum(int(float(found)) for found in re.findall(r"^modelgate_scorers{.*} (\S+)$", text, re.MULTILINE))


class Callers(InThreads):
    """Ask for one row at a time, and count the answers. They share the processors with what is measured, so they do no
    more than they have to."""

    def __init__(self, url: str, count: int) -> None:
        self._host = url.removeprefix("http://")
        self._values = itertools.count()
        self._lock = threading.Lock()
        self.answers = 0
        super().__init__(*[self._ask] * count)

    def _ask(self) -> None:
        headers = {"Content-Type": "application/json", "Prefer": "wait=30"}
        connection = http.client.HTTPConnection(self._host, timeout=60)
        while not self._stop.is_set():
            try:
                connection.request("POST", "/v1/models/waits/predict", f'{{"a": {next(self._values)}}}', headers)
                answer = connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                connection.close()
                continue
            if b'"status":"succeeded"' in answer:
                with self._lock:
                    self.answers += 1


if __name__ == "__main__":
    main()

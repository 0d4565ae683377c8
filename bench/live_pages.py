"""`python -m bench.live_pages`: what 50 browsers, each with a live page, cost the gateway.

Each browser asks for its page as often as the gateway says (`Live-Every`). Prints the processor time of the gateway in
percent of one core, and that of the idle gateway in the same run.
"""

from __future__ import annotations

import argparse
import http.client
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench import models
from bench.console import say
from bench.owners import spread
from bench.processes import WORK, use_two_cores
from bench.protected import wait_until_ready
from bench.servers import MODELGATE, Running, running

PAGES = ("/ui", "/ui/jobs", "/ui/system")
SETTLED = 40.0
"""Seconds after which each page asks as seldom as the gateway says."""


def main() -> int:
    options = _options()
    use_two_cores()
    models.build(WORK / "models", say)
    with running(MODELGATE, WORK / "models" / models.SPEED, ["tiny", "table"]) as run:
        wait_until_ready(run)
        for page in PAGES:
            idle = [share(run, options.seconds) for _ in range(options.rounds)]
            with browsers(run, page, options.browsers):
                time.sleep(SETTLED)
                live = [share(run, options.seconds) for _ in range(options.rounds)]
            say(f"{page}: {spread(live)} % with {options.browsers} browsers, {spread(idle)} % idle")
    return 0


def share(run: Running, seconds: float) -> float:
    """Return the processor time of the gateway in percent of one core."""
    before, began = run.cpu_seconds("-m gunicorn"), time.monotonic()
    time.sleep(seconds)
    spent = run.cpu_seconds("-m gunicorn") - before
    return 100 * spent / (time.monotonic() - began)


@contextmanager
def browsers(run: Running, page: str, count: int) -> Iterator[None]:
    """Keep a page open in so many browsers within the block. They open it within ten seconds."""
    stop = threading.Event()
    threads = [threading.Thread(target=_browser, args=(run, page, stop, 10 * at / count)) for at in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _browser(run: Running, page: str, stop: threading.Event, later: float) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", run.deployment.port, timeout=30)
    headers: dict[str, str] = {}
    stop.wait(later)
    while not stop.is_set():
        connection.request("GET", page, headers=headers)
        answer = connection.getresponse()
        answer.read()
        if cookie := answer.getheader("Set-Cookie"):
            headers = {"Cookie": cookie.partition(";")[0], "Modelgate-Part": "1"}
        stop.wait(float(answer.getheader("Live-Every") or 5))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.live_pages", description=__doc__)
    parser.add_argument("--browsers", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each round; default: 10")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

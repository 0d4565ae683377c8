"""Compares the answers of Modelgate at the addresses of five blog posts' services with those of the services.

`python -m tests.flow.old_services` starts Modelgate and prints a table. With the arguments `URL MODELS`, it asks one
that runs with the ROUTES_FILE of the example and with these models.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests

from tests.flow.conftest import MakeUp
from tests.flow.post_differences import EXPLAINED
from tests.flow.post_requests import Asked, requests_by_service
from tests.flow.post_services import SERVICES, trained
from tests.support import PROJECT

ROUTES = PROJECT / "examples" / "old-clients" / "routes.toml"
LAUNCHER = (sys.executable, "-m", "modelgate_server", "launcher")
"""What `make up` ends in."""


@dataclass(frozen=True)
class Answered:
    """An answer: of a good one all counts, of a refusal the status, and the names in it if it is an object."""

    status: int
    media_type: str
    body: bytes

    @property
    def compared(self) -> tuple[object, ...]:
        if self.status < 400:
            return self.status, self.media_type, self.value
        shape = sorted(self.value) if isinstance(self.value, dict) else None
        return (self.status, self.media_type, shape) if self.media_type == "application/json" else (self.status,)

    @property
    def value(self) -> Any:
        try:
            return json.loads(self.body) if self.media_type == "application/json" else self.body.decode()
        except ValueError:
            return self.body

    def __str__(self) -> str:
        start = "" if self.status >= 300 else self.body.decode(errors="replace").strip()[:70]
        return f"{self.status} {start}".strip()


@dataclass(frozen=True)
class Compared:
    """What the two answered to a request. A 500 of the service is a crash."""

    service: str
    asked: Asked
    post: Answered
    ours: Answered

    @property
    def crashed(self) -> bool:
        return self.post.status == 500

    @property
    def same(self) -> bool:
        if len(self.post.compared) == 1:  # a page of HTML that tells the status
            return self.post.status == self.ours.status
        return self.post.compared == self.ours.compared

    @property
    def reason(self) -> str | None:
        """Why the two differ on purpose."""
        return EXPLAINED.get(self.service, {}).get(self.asked.what)

    def __str__(self) -> str:
        return f"{self.asked.what}: {self.post} / {self.ours}"


Ask = Callable[[Asked], Answered]


def post(models: Path, name: str) -> Ask:
    """Return what asks the service of a post."""
    app = SERVICES[name](trained(models, name))
    app.logger.disabled = True
    client = app.test_client()

    def ask(asked: Asked) -> Answered:
        answer = client.open(asked.path, method=asked.method, data=asked.body, content_type=asked.media_type)
        return Answered(answer.status_code, answer.headers.get("Content-Type", ""), answer.data)

    return ask


def modelgate(address: str, session: requests.Session) -> Ask:
    """Return what asks a running Modelgate."""

    def ask(asked: Asked) -> Answered:
        headers = {"Content-Type": asked.media_type} if asked.media_type else {}
        url = address + asked.path
        answer = session.request(asked.method, url, data=asked.body, headers=headers, timeout=60, allow_redirects=False)
        return Answered(answer.status_code, answer.headers.get("Content-Type", ""), answer.content)

    return ask


@contextmanager
def started(folder: Path, models: Path) -> Iterator[MakeUp]:
    """Run a Modelgate that answers at the addresses of the posts. Trains the models that are missing."""
    running = MakeUp(folder, models, settings={"ROUTES_FILE": str(ROUTES)}, command=LAUNCHER)
    try:
        running.start()
        yield running
    finally:
        running.stop()


def compare(address: str, models: Path) -> Iterator[Compared]:
    """Ask both sides everything."""
    with requests.Session() as session:
        ours = modelgate(address, session)
        for service, asked in requests_by_service().items():
            theirs = post(models, service)
            for one in asked:
                yield Compared(service, one, theirs(one), ours(one))


def table(compared: Sequence[Compared]) -> str:
    """Return a line per service, then each difference with its reason, and each crash."""
    lines = [f"{'service':8} {'asked':>6} {'same':>6} {'crash: 4xx':>11} {'crash: answer':>14} {'different':>10}"]
    for service in SERVICES:
        mine = [one for one in compared if one.service == service]
        counts = Counter(kind(one) for one in mine)
        refused, answered = counts["refused"], counts["answered"]
        lines.append(
            f"{service:8} {len(mine):6} {counts['same']:6} {refused:11} {answered:14} {counts['different']:10}"
        )
    for title, wanted in {"Different": "different", "The post crashes, Modelgate answers": "answered"}.items():
        lines += ["", f"{title} (post / Modelgate):"]
        lines += [f"  {one.service}: {one}{_because(one)}" for one in compared if kind(one) == wanted]
    return "\n".join(lines)


def kind(one: Compared) -> str:
    """Return the column of the table."""
    if one.crashed:
        return "refused" if 400 <= one.ours.status < 500 else "answered" if one.ours.status < 400 else "different"
    return "same" if one.same else "different"


def _because(one: Compared) -> str:
    return f"\n      {one.reason}" if one.reason else ""


def main(arguments: Sequence[str]) -> None:
    if arguments:
        address, models = arguments
        compared = list(compare(address, Path(models)))
    else:
        with TemporaryDirectory() as folder, started(Path(folder), Path(folder) / "models") as running:
            compared = list(compare(running.address, running.models))
    sys.stdout.write(table(compared) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])

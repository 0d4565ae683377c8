"""The verb `demo`: a model that is trained, used, overtaken by the world, and trained again by itself."""

from __future__ import annotations

import csv
import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from modelgate import Client
from modelgate.command.exits import ExitCode, Failed
from modelgate.command.session import Session
from modelgate.command.trainings import outcome
from modelgate.errors import NotFound
from modelgate.jobs import TrainingRun

NAME, NOTES = "demo", "made by modelgate demo"
_PATH = f"/v1/models/{NAME}"
TRAINED, AT_ONCE, LATER, LEARNT = 2_000, 50, 4, 800
"""Rows of the first training, rows of a request, requests after which outcomes come, and rows of the second one."""
_QUICK = {"estimator": "boosting"}

_TURN = 0.25
"""Seconds between two requests."""
_SHOWN_EVERY, _RECENT = 5.0, 400
_LONGEST = 120.0
"""Seconds that each part may take."""

Order = dict[str, Any]
T = TypeVar("T")


@dataclass
class World:
    """Orders, and whether they come late. At noon the suburbs are served, too, and by bicycle: ways become longer, and
    the weather decides more than the way."""

    random: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311
    noon: bool = False
    numbers: Iterator[int] = field(default_factory=count)

    def orders(self, number: int) -> tuple[list[Order], list[str]]:
        """Return so many new orders, and what will come true of each: `yes` or `no`."""
        orders = [self._order() for _ in range(number)]
        return orders, [self._late(order) for order in orders]

    def _order(self) -> Order:
        distance = max(0.3, self.random.gauss(9.0, 2.5) if self.noon else self.random.gauss(4.5, 1.5))
        weather = self.random.choices(("dry", "rain", "snow"), (70, 25, 5))[0]
        meals, order_id = self.random.randint(1, 6), f"D{next(self.numbers):06}"
        return {"order_id": order_id, "distance_km": round(distance, 1), "weather": weather, "meals": meals}

    def _late(self, order: Order) -> str:
        bad = {"dry": 0.0, "rain": 1.0, "snow": 2.0}[order["weather"]]
        score = 4 * bad - 2 + 0.1 * (order["distance_km"] - 9) if self.noon else bad + 1.8 * (order["distance_km"] - 5)
        return "yes" if self.random.random() < 1 / (1 + math.exp(-score)) else "no"


@dataclass
class Traffic:
    """Orders that a model is asked about. What comes true is sent a second later."""

    client: Client
    world: World
    say: Callable[[str], None]
    sent: int = 0
    known: int = 0
    unknown: deque[tuple[list[Order], list[str]]] = field(default_factory=deque)
    right: deque[bool] = field(default_factory=lambda: deque(maxlen=_RECENT))
    shown_at: float = 0.0

    def until(self, look: Callable[[], T | None], what: str) -> T:
        """Go on until `look` returns something, which it is asked for each second. Raises `Failed` if it never does."""
        end = time.monotonic() + _LONGEST
        for turn in count():
            self._turn()
            if turn % round(1 / _TURN) == 0 and (found := look()):
                return found
            if time.monotonic() > end:
                raise Failed(f"{what} did not come within {_LONGEST:.0f} s; see `modelgate doctor`", ExitCode.FAILED)
            time.sleep(_TURN)
        raise AssertionError

    def _turn(self) -> None:
        orders, late = self.world.orders(AT_ONCE)
        answer = self.client.request(
            "POST", f"{_PATH}/predict", json={"instances": orders}, headers={"Prefer": "wait=30"}
        )
        self.sent += len(orders)
        self.right += [said == true for said, true in zip(answer["output"]["predictions"], late, strict=True)]
        self.unknown.append((orders, late))
        if len(self.unknown) > LATER:
            earlier = zip(*self.unknown.popleft(), strict=True)
            outcomes = [{"id": order["order_id"], "outcome": true} for order, true in earlier]
            self.client.request("POST", f"{_PATH}/outcomes", json=outcomes)
            self.known += len(outcomes)
        if time.monotonic() - self.shown_at >= _SHOWN_EVERY:
            self.shown_at = time.monotonic()
            self.say(f"    {self.sent:,} orders, {self.share_right:.0%} of the last predictions right")

    @property
    def share_right(self) -> float:
        return sum(self.right) / len(self.right)


def demo(session: Session) -> None:
    """Show in a minute how a model is trained, overtaken by the world, and trained again by itself.

    It makes a model `demo`, replacing that of an earlier demo. It needs an observer, a trainer, and a key with the
    scope admin if there are keys. The page of the model shows the same.
    """
    client, say, world = session.client, session.print, World()
    page = f"{client.shown_url}/ui/models/{NAME}/health"
    _remove_earlier(client)
    say("1  A model is trained: will an order be late, by its distance, weather and meals?")
    with TemporaryDirectory() as folder:
        rows = _written(world, Path(folder) / "orders.csv")
        trained = client.train(
            NAME, rows, target="late", id_field="order_id", parameters=_QUICK, notes=NOTES, progress=False
        )
    trained.wait()
    say(f"    {next(iter(outcome(trained.output)))}")
    client.request("PUT", f"{_PATH}/logging", json={"share": 1})
    say("2  Morning: orders come, predictions are logged, and soon it is known what came true.")
    say(f"    Watch {page}")
    traffic, version = Traffic(client, world, say), trained.output["version"]
    traffic.until(lambda: traffic.known >= 2 * _RECENT, "the first outcomes")
    say("3  Noon, the world changes: the suburbs are served, too, by bicycle. Nobody tells the model.")
    world.noon, noon, before = True, time.monotonic(), traffic.sent
    findings = traffic.until(lambda: _found(client, version, "findings"), "an alarm")
    say(f"4  An alarm after {math.ceil(time.monotonic() - noon)} s: {findings[0]}")
    degraded = traffic.until(lambda: _found(client, version, "degraded"), "an alarm about what came true")
    say(f"5  What comes true confirms it after {math.ceil(time.monotonic() - noon)} s: {degraded[0]['finding']}")
    # With a schedule from the beginning, the training would begin at once, and learn mostly from orders before noon.
    traffic.until(lambda: traffic.known >= before + LEARNT, "outcomes to learn from")
    say(f"6  With `modelgate schedule train {NAME} @alarm --outcomes {LEARNT}`, the alarm begins a training:")
    again = {"recipe": "tabular", "data": {"outcomes": LEARNT}, "parameters": _QUICK, "notes": NOTES}
    client.request("PUT", f"{_PATH}/schedule", json={"cron": "@alarm", "request": again})
    run = traffic.until(lambda: _ended(client), "a training that the alarm begins")
    say(f"    {next(iter(outcome(run.output)))}")
    if not run.promoted:
        raise Failed("the gate has refused the new version, so the old one stays", ExitCode.NOT_PROMOTED)
    traffic.right.clear()
    traffic.until(lambda: len(traffic.right) == _RECENT, "answers of the new version")
    say(f"7  Recovered: {traffic.share_right:.0%} of the predictions are right again.")
    say(f"What version {version} has seen: {page}?version={version}")
    say(f"Remove the model: modelgate remove {NAME}")


def _remove_earlier(client: Client) -> None:
    """Remove the model of an earlier demo. Raises `Failed` if the model is somebody else's."""
    try:
        model = client.request("GET", _PATH)
    except NotFound:
        return
    if model.get("notes") != NOTES:
        raise Failed(f"there is a model {NAME} that no demo has made; remove or rename it first", ExitCode.FAILED)
    client.remove(NAME)


def _written(world: World, path: Path) -> Path:
    """Write orders and what came true as CSV, and return the path."""
    orders, late = world.orders(TRAINED)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*orders[0], "late"])
        writer.writeheader()
        writer.writerows({**order, "late": true} for order, true in zip(orders, late, strict=True))
    return path


def _found(client: Client, version: int, what: str) -> Any:
    """Return `findings` or `degraded` of the health of a version."""
    return client.request("GET", f"{_PATH}/health", params={"version": version})[what]


def _ended(client: Client) -> TrainingRun | None:
    """Return the training of the schedule once it has ended."""
    last = client.request("GET", f"{_PATH}/schedule")["last_run"]
    if last is None or last["completed_at"] is None:
        return None
    run = TrainingRun(client, client.request("GET", f"/v1/jobs/{last['job']}"))
    run.wait()  # raises why it failed
    return run

"""`python -m tests.gateway.door.who_may` tries every action with every kind of key and prints who may do what: the
tables of docs/explanation/trust.md."""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from redis import Redis

from contract.settings import Settings
from contract.work.api_keys import Key, Limits, Scope
from contract.work.jobs import timestamp
from contract.work.training import RepositoryCommand
from gateway.app import create_app
from gateway.http.rules import Route
from tests.broker import samples
from tests.gateway.callers import ADMIN_KEY, Caller
from tests.stacks.redis_process import RedisProcess
from tests.support import Sum, numbers, state_dir, write_version

ROW = {"a": 1, "b": 2}
YES = "yes"

HEAD, HEAD_OF_LIMITS = "who may", "a key that has used up"
"""The first cell of each table."""

Ask = tuple[str, str, Mapping[str, Any]]
"""Method, path and options of a request. `{prediction}` and `{training}` in a path are jobs of the owner `team`."""

PUT_SCHEDULE = {"json": {"cron": "0 3 * * 1", "recipe": "sum"}}
EDIT = {"json": {"from": 1, "signature": {"outputs": ["total"]}}}

ACTIONS: Mapping[str, Sequence[Ask]] = {
    "ask whether it is alive and ready": [("GET", "/health/live", {}), ("GET", "/health/ready", {})],
    "list models, read metrics": [
        ("GET", "/v1/models", {}),
        ("GET", "/metrics", {}),
        ("POST", "/v2/repository/index", {}),
    ],
    "read a model, its versions and reports": [
        ("GET", "/v1/models/sum", {}),
        ("GET", "/v1/models/sum/versions", {}),
        ("GET", "/v1/models/sum/versions/1", {}),
    ],
    "predict": [
        ("POST", "/v1/models/sum/predict", {"json": ROW}),
        ("POST", "/v1/models/sum@1/predict", {"json": ROW}),
        ("GET", "/v1/models/sum/predict?a=1&b=2", {"headers": {"Prefer": "wait=0"}}),
    ],
    "see a prediction of the owner `team`": [("GET", "/v1/jobs/{prediction}", {})],
    "cancel or delete it": [("DELETE", "/v1/jobs/{prediction}", {})],
    "train, and set schedules": [
        ("POST", "/v1/models/sum/train", {"json": {"recipe": "sum"}}),
        ("PUT", "/v1/models/sum/schedule", PUT_SCHEDULE),
    ],
    "see a training of the owner `team`, and its log": [
        ("GET", "/v1/jobs/{training}", {}),
        ("GET", "/v1/jobs/{training}/log", {}),
    ],
    "cancel it": [("DELETE", "/v1/jobs/{training}", {})],
    "move and delete aliases, roll back, delete versions, remove models": [
        ("PUT", "/v1/models/sum/aliases/canary", {"json": {"version": 1}}),
        ("DELETE", "/v1/models/sum/aliases/canary", {}),
        ("POST", "/v1/models/sum/rollback", {}),
        ("DELETE", "/v1/models/sum/versions/1", {}),
        ("DELETE", "/v1/models/sum?confirm=sum", {}),
    ],
    "ask a second person, withdraw that": [
        ("POST", "/v1/models/sum/promotions", {"json": {"version": 1}}),
        ("DELETE", "/v1/models/sum/promotions/p1", {}),
    ],
    "approve and reject as a second person": [
        ("POST", "/v1/models/sum/promotions/p1/approve", {}),
        ("POST", "/v1/models/sum/promotions/p1/reject", {}),
    ],
    "upload models, edit signatures": [("POST", "/v1/models/sum/versions", EDIT)],
    "say what the prediction log keeps": [("PUT", "/v1/models/sum/logging", {"json": {"share": 0.1}})],
    "read the prediction log, and delete from it": [
        # Refused by the route, which would ask an observer.
        ("GET", "/v1/models/sum/predictions?limit=0", {}),
        ("DELETE", "/v1/models/sum/predictions", {}),
    ],
    "set, list and delete webhooks": [
        ("PUT", "/v1/webhooks/ops", {"json": {"url": "https://example.org/", "events": ["model.promoted"]}}),
        ("GET", "/v1/webhooks", {}),
        ("POST", "/v1/webhooks/ops/test", {}),
        ("DELETE", "/v1/webhooks/ops", {}),
    ],
    "see and delete the webhooks that wait": [
        ("GET", "/v1/deliveries", {}),
        ("DELETE", "/v1/deliveries?owner=team", {}),
    ],
    "make, rotate and revoke keys; read the audit log": [
        ("POST", "/v1/keys", {"json": {"name": "new", "scopes": ["read"]}}),
        ("GET", "/v1/keys", {}),
        ("GET", "/v1/audit", {}),
    ],
}

ANY = frozenset(Scope) - {Scope.ADMIN}
TEAM = Key("k-team", "ci", "team", ANY)
LATER, EARLIER = (timestamp(datetime.now(UTC) + timedelta(hours=hours)) for hours in (1, -1))

KEYS: Mapping[str, Key | str | None] = {
    "no key": None,
    **{f"`{scope}`": replace(TEAM, id=f"k-{scope}", scopes=frozenset({scope})) for scope in Scope if scope in ANY},
    "all of these, another owner": replace(TEAM, id="k-owner", owner="other"),
    "all of these, another model": replace(TEAM, id="k-model", models=frozenset({"other"})),
    "`admin`": replace(TEAM, id="k-admin", owner="other", scopes=frozenset({Scope.ADMIN})),
    "`ADMIN_KEY`": ADMIN_KEY,
    "expired": replace(TEAM, id="k-expired", expires_at=EARLIER),
    "revoked": "mg_" + "r" * 43,
}
"""The kinds of keys: what is stored of one, or the token of one that is not stored. None: no key."""


FILE = b"a,b,target\n" + b"1,2,3\n" * 100_000
"""More than half of a MB."""

WITHIN: Mapping[str, Sequence[Ask]] = {
    "predict": [
        ("POST", "/v1/models/sum/predict", {"json": ROW}),
        ("GET", "/v1/models/sum/predict?a=1&b=2", {"headers": {"Prefer": "wait=0"}}),
    ],
    "predict with another model": [("POST", "/v1/models/other/predict", {"json": ROW})],
    "train": [("POST", "/v1/models/sum/train", {"json": {"recipe": "sum"}})],
    "upload a file": [("POST", "/v1/models/sum/versions", {"file": FILE})],
    "all else": [
        ("GET", "/v1/models/sum", {}),
        ("GET", "/v1/jobs", {}),
        ("PUT", "/v1/models/sum/schedule", PUT_SCHEDULE),
        ("PUT", "/v1/models/sum/aliases/canary", {"json": {"version": 1}}),
    ],
}
"""What a key may still do, or not, once it has used up one of its limits."""

LIMITS: Mapping[str, tuple[Limits, Ask]] = {
    "`rows_per_second`": (Limits(rows_per_second=1), ("POST", "/v1/models/sum/predict", {"json": [ROW] * 1000})),
    "`rows_waiting`": (Limits(rows_waiting=1), ("POST", "/v1/models/sum/predict", {"json": ROW})),
    "`jobs_in_flight`": (Limits(jobs_in_flight=1), ("POST", "/v1/models/sum/predict", {"json": ROW})),
    "`trainings_waiting`": (Limits(trainings_waiting=1), ("POST", "/v1/models/sum/train", {"json": {"recipe": "sum"}})),
    "`upload_mb_per_day`": (Limits(upload_mb_per_day=1), ("POST", "/v1/models/sum/versions", {"file": FILE})),
}
"""Each limit, and the request that uses it up."""


@dataclass
class Gate:
    """A closed gateway with two models, a trainer that obeys every command, and a key of each kind."""

    client: FlaskClient
    redis: Redis
    callers: Mapping[str, Caller]
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def answer(self, action: str, who: str) -> str:
        """Return whether a kind of key may do all of an action, or the status with which all of it is refused."""
        return self._answered(f"{action} with {who}", ACTIONS[action], self.callers[who])

    def beyond(self, limit: str, action: str) -> str:
        """Return whether a key that has used up a limit may do all of an action, or how all of it is refused."""
        limits, ask = LIMITS[limit]
        number = next(self._numbers)
        key = replace(TEAM, id=f"k-limited-{number}", owner=f"limited-{number}", limits=limits)
        caller = Caller.with_key(self.client, self.redis, key)
        assert self._asked(*ask, caller) == YES
        return self._answered(f"{action} beyond {limit}", WITHIN[action], caller)

    def _answered(self, what: str, asks: Sequence[Ask], caller: Caller) -> str:
        answers = {self._asked(*ask, caller) for ask in asks}
        assert len(answers) == 1, f"{what}: {sorted(answers)}"
        return answers.pop()

    def _asked(self, method: str, path: str, options: Mapping[str, Any], caller: Caller) -> str:
        if "{" in path:
            path = path.format(prediction=self._prediction(), training=self._training())
        if file := options.get("file"):
            options = {"data": {"file": (BytesIO(file), "file")}, "content_type": "multipart/form-data"}
        # Each from an address of its own, or there are too many attempts with the revoked key.
        address = f"192.0.2.{next(self._numbers) % 255}"
        answer = caller(method, path, environ_overrides={"REMOTE_ADDR": address}, **options)
        if answer.status_code == 429:
            return f"429 `{answer.get_json(force=True)['code']}`"
        return str(answer.status_code) if answer.status_code in (401, 403, 404) else YES

    def _prediction(self) -> str:
        return str(self._team("POST", "/v1/models/sum/predict", json=ROW).json["id"])

    def _training(self) -> str:
        return str(self._team("POST", "/v1/models/sum/train", json={"recipe": "sum"}).json["id"])

    @property
    def _team(self) -> Caller:
        return Caller.with_key(self.client, self.redis, replace(TEAM, expires_at=LATER))

    def routes(self) -> set[tuple[str, str]]:
        """Return the method and path of each route that `ACTIONS` asks for."""
        urls = self.client.application.url_map.bind("localhost")
        routes = set()
        for method, path, _ in (ask for asks in ACTIONS.values() for ask in asks):
            rule, _ = urls.match(path.partition("?")[0].format(prediction="j", training="j"), method, return_rule=True)
            routes.add((method, rule.rule))
        return routes

    def levels(self) -> set[tuple[str, str]]:
        """Return each level of the HTTP interface's routes, with whether it writes. Pages have their own tests."""
        return {
            _level(rule, method)
            for rule in self._rules()
            for method in (rule.methods or set()) - {"OPTIONS"}
            if not rule.page
        }

    def asked_levels(self) -> set[tuple[str, str]]:
        """Return the same of the routes that `ACTIONS` asks for."""
        asked = self.routes()
        return {
            _level(rule, method)
            for rule in self._rules()
            for method in (rule.methods or set())
            if (method, rule.rule) in asked
        }

    def _rules(self) -> Iterator[Route]:
        return (rule for rule in self.client.application.url_map.iter_rules() if isinstance(rule, Route))


def _level(rule: Route, method: str) -> tuple[str, str]:
    return str(rule.level), "reads" if method in ("GET", "HEAD") else "writes"


@contextmanager
def gate_with_keys(redis: Redis, url: str, folder: Path) -> Iterator[Gate]:
    models = folder / "models"
    for model in ("sum", "other"):
        write_version(models, model, Sum(), numbers("a", "b"))
    samples.trainer(redis, ["sum", "tabular"])
    settings = Settings(
        redis_url=url,
        models_dir=models,
        spool_dir=folder / "spool",
        state_dir=state_dir(folder),
        admin_key=ADMIN_KEY,
        allow_upload="1",
        webhook_secret="set",
    )
    client = create_app(settings, _obey).test_client()
    yield Gate(client, redis, {who: _caller(client, redis, key) for who, key in KEYS.items()})


def _obey(command: RepositoryCommand) -> dict[str, Any]:
    return {"name": command.model, "version": 2, "versions": [1, 2], "aliases": {"current": 2}, "warnings": []}


def _caller(client: FlaskClient, redis: Redis, key: Key | str | None) -> Caller:
    if isinstance(key, Key):
        return Caller.with_key(client, redis, key)
    return Caller(client, key or "")


def tables(gate: Gate) -> str:
    return "\n\n".join([_table(HEAD, ACTIONS, KEYS, gate.answer), _table(HEAD_OF_LIMITS, LIMITS, WITHIN, gate.beyond)])


def _table(head: str, rows: Iterable[str], columns: Collection[str], cell: Callable[[str, str], str]) -> str:
    lines = [f"| {head} | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    lines += [f"| {row} | {' | '.join(cell(row, column) for column in columns)} |" for row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="who-may-") as name:
        folder = Path(name)
        with (
            RedisProcess(folder) as server,
            server.connect() as connection,
            gate_with_keys(connection, server.url, folder) as made,
        ):
            sys.stdout.write(tables(made) + "\n")

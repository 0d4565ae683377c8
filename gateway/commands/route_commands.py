"""`python -m gateway routes` lists the routes; `--check` checks ROUTES_FILE, as the gateway does at its start."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from redis.exceptions import RedisError

from broker.access.key_store import Keys
from broker.link.connection import connect
from broker.link.faults import fault_of
from contract.errors import ModelgateError, SettingsError
from contract.model.repository import Repository
from contract.redis_url import own_redis
from contract.settings import Settings
from contract.wording import counted
from gateway.app import create_app, read_routes
from gateway.http.rules import listed
from gateway.problems import Problem
from gateway.protocols.mapped import MappedRoute
from gateway.serving.model_versions import resolve

TIMEOUT = 5.0
"""Seconds that Redis has to answer."""


def main(arguments: Sequence[str]) -> int:
    """Print the routes, or what is wrong with those of ROUTES_FILE. Returns 1 if the gateway could not start."""
    parser = argparse.ArgumentParser(prog="python -m gateway routes", description=__doc__)
    parser.add_argument("--check", action="store_true", help="check ROUTES_FILE, and show what its routes answer")
    parser.add_argument("file", type=Path, nargs="?", help="a file to use instead of ROUTES_FILE")
    options = parser.parse_args(arguments)
    try:
        settings = Settings.from_environ()
        settings = replace(settings, routes_file=options.file or settings.routes_file)
        if options.check:
            return _check(settings)
        app = create_app(replace(settings, redis_url=settings.redis_url or "redis://localhost"))  # it does not connect
    except SettingsError as error:
        return _fail(str(error))
    print(*listed(app.url_map.iter_rules()), sep="\n")
    return 0


def check(file: Path, settings: Settings) -> list[str]:
    """Return a sentence for each route of the ROUTES_FILE `file` that cannot answer as long as the models are what they
    are. Raises `SettingsError` for a file with which the gateway cannot start."""
    create_app(replace(settings, redis_url=settings.redis_url or "redis://localhost"))
    repository = Repository(settings.models_dir)
    return [
        f"{route} answers 503: {reason}" for route in read_routes(file) if (reason := _without_model(route, repository))
    ]


def _check(settings: Settings) -> int:
    if settings.routes_file is None:
        return _fail("there is nothing to check; set ROUTES_FILE, or name a file")
    concerns = check(settings.routes_file, settings)
    routes = read_routes(settings.routes_file)
    concerns += _without_key(routes, settings.redis_url or own_redis(settings.state_dir))
    for route in routes:
        default = f", with the key {route.key!r}" if route.key else ""
        print(f"{route.method:<4} {route.path}: {route.model}{default}")
    for concern in concerns:
        print(f"modelgate: {concern}", file=sys.stderr)
    print(f"{counted(len(routes), 'route')} of {settings.routes_file}, {counted(len(concerns), 'warning')}")
    return 0


def _without_model(route: MappedRoute, repository: Repository) -> str | None:
    """Return why the model of a route cannot answer it, or None if it can."""
    try:
        route.check_fit(repository.manifest(*resolve(repository, route.model)).signature)
    except (Problem, ModelgateError) as error:
        return str(error)
    return None


def _without_key(routes: Sequence[MappedRoute], redis_url: str | None) -> Iterator[str]:
    """Yield a sentence for each default key that does not exist. Without a Redis there is none to look for."""
    names = sorted({route.key for route in routes if route.key})
    if not names or not redis_url:
        return
    try:
        known = {issued.key.name for issued in Keys(connect(redis_url, TIMEOUT)).all() if not issued.current.expired}
    except RedisError as error:
        yield f"the keys cannot be looked up: {fault_of(error).message}"
        return
    for name in names:
        if name not in known:
            command = f"python -m gateway key add --name {name} --scopes predict"
            yield f"there is no valid key {name!r} to lend; make it: {command}"


def _fail(message: str) -> int:
    print(f"modelgate: {message}", file=sys.stderr)
    return 1

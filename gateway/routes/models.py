"""Models: which there are, what they take and give, and a request that works."""

from __future__ import annotations

import json
import re
from urllib.parse import unquote

from flask import Blueprint, Response

from contract.errors import ModelgateError
from contract.files import read_regular
from contract.manifest import ModelManifest
from contract.repository import NAME, REPORT_JSON, NotInRepository, Repository, valid_name
from gateway.answers import json_response
from gateway.problems import Problem, near


def blueprint(repository: Repository) -> Blueprint:
    routes = Blueprint("models", __name__, url_prefix="/v1/models")

    @routes.get("")
    def index() -> Response:
        return json_response({"items": [_item(repository, name) for name in repository.names()]})

    @routes.get("/<reference>")
    def show(reference: str) -> Response:
        name, version = resolve(repository, reference)
        manifest = repository.manifest(name, version)
        versions = repository.versions(name)
        return json_response({**describe(manifest), "aliases": repository.aliases(name), "versions": versions})

    return routes


def resolve(repository: Repository, reference: str) -> tuple[str, int]:
    """Name and version behind `loan`, `loan@3` or `loan@canary`; raises `Problem` (404) that says what there is."""
    try:
        return repository.resolve(reference)
    except NotInRepository as error:
        if versions := repository.versions(reference):
            raise _none_is_current(repository, reference, versions) from error
        names = repository.names()
        name = reference.partition("@")[0]
        detail = str(error) if NAME.fullmatch(name) else f"{name[:64]!r} cannot be the name of a model"
        if name not in names:
            there_are = ", ".join(names[:50]) + (", …" if len(names) > 50 else "") if names else "no models yet"
            detail += f"{near(_as_name(name), names)}; there are: {there_are}" if names else f"; there are {there_are}"
        raise Problem(404, "unknown_model", detail, models=names[:50]) from error


def _none_is_current(repository: Repository, name: str, versions: list[int]) -> Problem:
    """Return the 404 for a model without a promoted version, with the reason of the gate for the newest."""
    newest = versions[-1]
    if reason := _refused(repository, name, newest):
        why, way_out = f"the gate did not let version {newest} through, as {reason}", "anyway"
    else:
        why = f"none of {', '.join(map(str, versions[-20:]))} was promoted"
        way_out = "(the answer names the obstacle, if there is one)"
    detail = (
        f"the model {name!r} has no current version: {why}; ask for {name}@{newest}, or make it current {way_out}:"
        f' PUT /v1/models/{name}/aliases/current {{"version": {newest}}}'
    )
    return Problem(404, "no_current_version", detail, versions=versions[-20:])


def _refused(repository: Repository, name: str, version: int) -> str | None:
    """Why the gate of its training refused a version, where it did and the report says so."""
    try:
        facts = json.loads(read_regular(repository.report_dir(name, version) / REPORT_JSON))
    except (OSError, ValueError, RecursionError):
        return None
    reason = facts.get("refused") if isinstance(facts, dict) else None
    return reason[:500] if isinstance(reason, str) else None


def _as_name(text: str) -> str:
    """Return the likely name: `My%20Loan` → `my-loan`."""
    return re.sub(r"[^a-z0-9_-]+", "-", unquote(text).lower()).strip("-")


def check_name(name: str) -> None:
    """Raises `Problem` (422) unless `name` may be the name of a new model."""
    if not valid_name(name):
        detail = f"{name[:64]!r} cannot be the name of a model: use up to 64 of a-z, 0-9, _ and - (not inbox)"
        raise Problem(422, "invalid_name", detail)


def _item(repository: Repository, name: str) -> dict[str, object]:
    aliases = repository.aliases(name)
    return {"name": name, "aliases": aliases, **version_item(repository, name, aliases["current"])}


def version_item(repository: Repository, name: str, version: int) -> dict[str, object]:
    """What a list shows of a version; one that cannot be used says why and hides no other."""
    try:
        manifest = repository.manifest(name, version)
    except ModelgateError as error:
        return {"version": version, "error": error.failure.to_json()}
    return {
        "version": version,
        "created_at": manifest.created_at,
        "recipe": manifest.recipe,
        "metrics": dict(manifest.metrics),
    }


def describe(manifest: ModelManifest) -> dict[str, object]:
    """The manifest as a caller needs it: without the golden rows, with an example that works when posted."""
    described: dict[str, object] = json.loads(manifest.dumps())
    del described["golden"]
    return described

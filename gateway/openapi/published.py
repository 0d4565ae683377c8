"""The document as a caller sees it, made once for each state of the model repository."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from werkzeug.routing import Rule

from contract.errors import ModelgateError
from contract.model.repository import CURRENT, Repository
from contract.model.signature import OTHER_METHODS, PREDICT
from contract.work.api_keys import EVERYBODY, Detail, Key
from gateway.openapi import models
from gateway.openapi.document import document
from gateway.protocols import native

MOST_KEPT = 8
"""Documents that are kept: callers with different models see different ones."""

_State = tuple[bool, bool, tuple[tuple[str, int], ...]]


@dataclass(frozen=True)
class Published:
    """A document as JSON. `tag` changes with it."""

    body: str
    tag: str


class ApiDocument:
    """Makes the document of the service, with the models that a caller may use.

    A terse key learns nothing of a model: it sees only the models that it names itself, and none of their fields.
    """

    def __init__(self, rules: Callable[[], Iterable[Rule]], repository: Repository) -> None:
        """`rules` returns the routes. `repository` lists the models of the current caller."""
        self._rules = rules
        self._repository = repository
        self._kept: dict[_State, Published] = {}
        self._making = threading.Lock()

    def of(self, caller: Key) -> Published:
        terse = caller.detail is Detail.TERSE
        names = [] if terse and caller.models is None else self._repository.names()
        versions = ((name, self._repository.aliases(name).get(CURRENT, 0)) for name in names)
        state = (caller is not EVERYBODY, terse, tuple((name, 0 if terse else version) for name, version in versions))
        with self._making:
            published = self._kept.pop(state, None) or self._make(state)
            self._kept[state] = published
            if len(self._kept) > MOST_KEPT:
                del self._kept[next(iter(self._kept))]
        return published

    def _make(self, state: _State) -> Published:
        keys, terse, versions = state
        made = document(self._rules(), keys=keys)
        made["tags"] = [{"name": name} for name, _ in versions]  # these are shown first
        for name, version in versions:
            if terse:
                shared = made["paths"][_SHARED[PREDICT.name]]
                ids = {"get": models.QUERY, "post": PREDICT.name}
                operations = {method: models.named(shared[method], name, begin) for method, begin in ids.items()}
                made["paths"][f"/v1/models/{name}/predict"] = operations
            else:
                self._add(made, name, version)
        body = native.to_json(made)
        return Published(body, hashlib.sha256(body.encode()).hexdigest()[:32])

    def _add(self, made: dict[str, Any], name: str, version: int) -> None:
        """Add a model, unless its manifest cannot be used: then it cannot be called either."""
        try:
            manifest = self._repository.manifest(name, version)
        except ModelgateError:
            return
        made["components"]["schemas"] |= models.schemas_of(manifest)
        for method in manifest.signature.methods:
            shared = made["paths"][_SHARED[method.name]]
            operations = {"post": models.operation_of(shared["post"], manifest, method)}
            if method.name == PREDICT.name:
                operations["get"] = models.query_of(shared["get"], manifest)
            made["paths"][models.path_of(manifest, method)] = operations


_SHARED = {
    PREDICT.name: "/v1/models/{model}/predict",
    **dict.fromkeys(OTHER_METHODS, "/v1/models/{model}/{method}"),
}
"""The path that the models share, by method."""

"""The document of the service: its routes, with the schemas and problems that they declare.

A caller sees it with the models that it may use, made once for each state of the model repository.
"""

from __future__ import annotations

import functools
import hashlib
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from werkzeug.routing import Rule

from contract.errors import ModelgateError
from contract.model.repository import CURRENT, Repository
from contract.model.signature import OTHER_METHODS, PREDICT
from contract.release import VERSION
from contract.work.api_keys import EVERYBODY, Detail, Key, Scope
from gateway.http.operations import Answer, Content, Operation, Parameter, Schema, listed
from gateway.http.rules import READING, Level, Route
from gateway.openapi import models
from gateway.openapi.schema_parts import ref
from gateway.openapi.schemas import PATH_PARAMETERS, SCHEMAS
from gateway.protocols import native
from gateway.serving.model_versions import refuse_model

MOST_KEPT = 8
"""Documents that are kept: callers with different models see different ones."""

_State = tuple[bool, bool, bool, tuple[tuple[str, int], ...]]

_VARIABLE = re.compile(r"<(?:(?P<converter>[^:<>]+):)?(?P<name>\w+)>")
_ONE_OF = re.compile(r"any\((.*)\)")

_DESCRIPTION = """\
Serves scikit-learn models. A request to a model becomes a job; with the header `Prefer: wait=5` the answer has its
result. Errors are `application/problem+json` (RFC 9457): `code` is for programs, and `detail` says what to do."""

_OF_KEYS = (
    *("400 malformed_request", "401 missing_key", "401 invalid_key", "401 expired_key"),
    *("429 too_many_attempts", "503 redis_unavailable", "503 redis_loading", "503 redis_denied"),
)
"""Problems that the door answers for every route but the open ones."""
_OF_REPEATED = ("400 invalid_parameter", "410 job_gone", "422 idempotency_key_reused")
_OF_BODIES = ("400 malformed_body", "413 body_too_large", "429 rate_limit", "501 unsupported_transfer_encoding")

KEY_SCHEMES: Mapping[str, Schema] = {
    "key": {"type": "http", "scheme": "bearer", "description": "An API key, such as `mg_8vVxQ0m3Zt…`."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def problems(route: Route, method: str) -> tuple[str, ...]:
    """Return every problem that the route answers: `404 unknown_job` and so on."""
    codes = list(route.docs.problems)
    if route.level is not Level.OPEN:
        codes += _OF_KEYS
        if not route.any_host:
            codes.append("403 foreign_host")
        if route.level is not Level.OWN:
            codes.append("403 missing_scope")
        if method not in READING or route.level is Scope.PREDICT:
            codes.append("403 foreign_origin")
    if route.query is not None:
        codes.append("400 invalid_parameter")
    if route.idempotent:
        codes += _OF_REPEATED
    if route.docs.body is not None and not route.docs.streamed:
        codes += _OF_BODIES
    if {"name", "reference"} & route.arguments:
        codes.append("404 unknown_model")
    if _VARIABLE.search(route.rule):
        codes.append("404 not_found")
    return tuple(sorted({_with_status(problem, route.statuses) for problem in codes}))


def _with_status(problem: str, statuses: Mapping[str, int]) -> str:
    status, code = problem.split()
    return f"{statuses.get(code, status)} {code}"


def operations(rules: Iterable[Rule]) -> Iterator[tuple[Route, str]]:
    """Yield each declared route with its method, by path. Pages are no part of the interface."""
    declared = (rule for rule in rules if isinstance(rule, Route) and not rule.page)
    for rule in sorted(declared, key=lambda rule: rule.rule):
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield rule, method


def document(rules: Iterable[Rule], *, keys: bool) -> dict[str, Any]:
    """Return the OpenAPI document of the routes. `keys`: requests need one."""
    paths: dict[str, dict[str, Any]] = {}
    answers: dict[str, Schema] = {}
    for route, method in operations(rules):
        answers |= problem_answers(route, method)
        paths.setdefault(path_of(route), {})[method.lower()] = operation(route, method)
    components: dict[str, Any] = {"schemas": dict(SCHEMAS), "responses": answers}
    if keys:
        components["securitySchemes"] = KEY_SCHEMES
    return {
        "openapi": "3.1.0",
        "info": {"title": "Modelgate", "version": VERSION, "description": _DESCRIPTION},
        "paths": paths,
        "components": components,
        **({"security": [{name: []} for name in KEY_SCHEMES]} if keys else {}),
    }


def operation(route: Route, method: str) -> dict[str, Any]:
    docs = route.docs
    described: dict[str, Any] = {
        "operationId": docs.id,
        "summary": docs.summary,
        "tags": [docs.tag or route.endpoint.partition(".")[0]],
        "description": _level_of(route),
        "parameters": [*_path_parameters(route), *parameters(docs)],
        "responses": responses(route, method),
    }
    if docs.body is not None:
        described["requestBody"] = {"content": content(docs.body), "required": docs.body_required}
    if route.level is Level.OPEN:
        described["security"] = []
    return described


def path_of(route: Route) -> str:
    return _VARIABLE.sub(lambda matched: f"{{{_path_parameter(matched['name'])[0]}}}", route.rule)


def parameters(docs: Operation) -> list[Schema]:
    return [_parameter(parameter) for parameter in docs.parameters]


def responses(route: Route, method: str) -> dict[str, Any]:
    """Return the answers by status; problems are in the components, under the id of the operation."""
    described: dict[str, Any] = {str(status): answer(success) for status, success in route.docs.answers.items()}
    for status in listed(problems(route, method)):
        described[str(status)] = {"$ref": f"#/components/responses/{_answer_id(route, status)}"}
    return described


def answer(declared: Answer) -> dict[str, Any]:
    described: dict[str, Any] = {"description": declared.description}
    if declared.content:
        described["content"] = content(declared.content)
    if declared.headers:
        described["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in declared.headers.items()
        }
    return described


def content(declared: Content) -> dict[str, Any]:
    by_type = {"application/json": declared} if isinstance(declared, str) else declared
    return {kind: {"schema": ref(schema) if isinstance(schema, str) else schema} for kind, schema in by_type.items()}


def problem_answers(route: Route, method: str) -> dict[str, Schema]:
    """Return the components for the problems of a route, by the name that `responses` refers to."""
    return {
        _answer_id(route, status): _problem_answer(route.docs, status, codes)
        for status, codes in listed(problems(route, method)).items()
    }


def _problem_answer(docs: Operation, status: int, codes: Sequence[str]) -> Schema:
    bodies: dict[str, Schema] = {"application/problem+json": {"schema": ref("Problem")}}
    if docs.error is not None:
        bodies |= content({"application/json": docs.error})
    return {
        "description": f"{HTTPStatus(status).phrase}: {', '.join(f'`{code}`' for code in codes)}.",
        "content": bodies,
        "x-problem-codes": list(codes),  # a schema of each answer would be a class of each in generated clients
    }


def _answer_id(route: Route, status: int) -> str:
    return f"{route.docs.id}.{status}"


def _level_of(route: Route) -> str:
    if route.level is Level.OPEN:
        return "Needs no key."
    if route.level is Level.OWN:
        return "With keys: any key, for what belongs to its owner."
    return f"With keys: one with the scope `{route.level}`."


def _path_parameters(route: Route) -> Iterator[Schema]:
    for matched in _VARIABLE.finditer(route.rule):
        name, description, schema = _path_parameter(matched["name"])
        if choices := _ONE_OF.fullmatch(matched["converter"] or ""):
            schema = {"type": "string", "enum": choices[1].split(", ")}
        yield _parameter(Parameter(name, description, schema, "path", required=True))


def _path_parameter(variable: str) -> tuple[str, str, Schema]:
    """Return the name, the description and the schema of a variable; one that is not ours is of ROUTES_FILE."""
    return PATH_PARAMETERS.get(variable) or (variable, "The value of this input.", {"type": "string"})


def _parameter(parameter: Parameter) -> Schema:
    return {
        "name": parameter.name,
        "in": parameter.location,
        "description": parameter.description,
        "required": parameter.required,
        "schema": parameter.schema,
        **({} if parameter.example is None else {"example": parameter.example}),
    }


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
        self._kept = functools.lru_cache(MOST_KEPT)(self._make)
        self._making = threading.Lock()

    def of(self, caller: Key, model: str | None = None) -> Published:
        """Return the routes with the requests of all models; with those of no model for `model=""`; or the requests of
        `model` alone. Raises `Problem` if the caller has no such model."""
        terse = caller.detail is Detail.TERSE
        names = [] if model == "" or (terse and caller.models is None) else self._repository.names()
        if model:
            if model not in self._repository.names():
                raise refuse_model(self._repository, model)
            names = [model]
        versions = ((name, self._repository.aliases(name).get(CURRENT, 0)) for name in names)
        shown = tuple((name, 0 if terse else version) for name, version in versions)
        state = (caller is not EVERYBODY, terse, bool(model), shown)
        with self._making:
            return self._kept(state)

    def _make(self, state: _State) -> Published:
        keys, terse, of_one_model, versions = state
        made = document(self._rules(), keys=keys)
        routes = made["paths"]
        if of_one_model:
            made["paths"] = {}
        made["tags"] = [{"name": name} for name, _ in versions]  # these are shown first
        for name, version in versions:
            if terse:
                shared = routes[_SHARED[PREDICT.name]]
                ids = {"get": models.QUERY, "post": PREDICT.name}
                operations = {method: models.named(shared[method], name, begin) for method, begin in ids.items()}
                made["paths"][f"/v1/models/{name}/predict"] = operations
            else:
                self._add(made, routes, name, version)
        body = native.to_json(made)
        return Published(body, hashlib.sha256(body.encode()).hexdigest()[:32])

    def _add(self, made: dict[str, Any], routes: Mapping[str, Any], name: str, version: int) -> None:
        """Add a model to the `routes` of all, unless its manifest cannot be used: then it cannot be called either."""
        try:
            manifest = self._repository.manifest(name, version)
        except ModelgateError:
            return
        made["components"]["schemas"] |= models.schemas_of(manifest)
        for method in manifest.signature.methods:
            shared = routes[_SHARED[method.name]]
            operations = {"post": models.operation_of(shared["post"], manifest, method)}
            if method.name == PREDICT.name:
                operations["get"] = models.query_of(shared["get"], manifest)
            made["paths"][models.path_of(manifest, method)] = operations


_SHARED = {
    PREDICT.name: "/v1/models/{model}/predict",
    **dict.fromkeys(OTHER_METHODS, "/v1/models/{model}/{method}"),
}
"""The path that the models share, by method."""

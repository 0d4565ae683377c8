"""The addresses of old services that ROUTES_FILE maps to models."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import combinations

from flask import Blueprint, Response, request
from werkzeug.routing import Rule

from contract.work.api_keys import Scope
from gateway.http.answers import FRESH, PredictionAnswer
from gateway.http.exchange import caller
from gateway.http.media_types import is_json, media_type, unsupported
from gateway.http.operations import EXPERIMENT_KEY, IDEMPOTENCY_KEY, Answer, Operation, Schema
from gateway.http.rules import SMALL_BODY, BodyLimit
from gateway.http.synchronous import PROBLEMS, SynchronousPredictions, received_body
from gateway.protocols import native
from gateway.protocols.mapped import MappedRoute
from gateway.protocols.mapped_answers import TextAnswer
from gateway.protocols.offload import offload
from gateway.protocols.routes_file import REFERENCE
from gateway.serving.predicting import PredictionOptions

_VARIABLE = re.compile(r"<[^<>]+>")
_SPANNING = "<path:"
"""Begins a variable that stands for all segments that follow."""

_View = Callable[..., PredictionAnswer | Response]


def blueprint(mapped: Sequence[MappedRoute], predictions: SynchronousPredictions, rows: BodyLimit) -> Blueprint:
    """`rows`: the limit of bodies with rows."""
    routes = Blueprint("mapped", __name__)
    for number, route in enumerate(mapped, 1):
        view: _View = _row_in_path if route.method == "GET" else _rows_in_body
        routes.add_url_rule(
            route.path,
            f"route_{number}",
            partial(view, predictions, route),
            methods=[route.method],
            strict_slashes=route.exact or None,
            defaults={REFERENCE: route.model},  # the door asks whether the key may use it
            level=Scope.PREDICT,
            docs=_operation(number, route),
            body=rows if route.method == "POST" else SMALL_BODY,
            errors=route.write_error if route.error else None,
            errors_below=route.begin if route.error else None,
            statuses=route.statuses,
            key=route.key,
            row_in_path=route.method == "GET",
            any_query=True,
        )
    return routes


def _row_in_path(
    predictions: SynchronousPredictions, route: MappedRoute, /, reference: str, **values: str
) -> PredictionAnswer | Response:
    model = predictions.model(reference)
    route.check_fit(model.signature)
    headers, row = {**FRESH, "Content-Type": route.content_type}, route.read_path(values, model.signature)
    if request.method == "HEAD":  # makes no job
        predictions.predictor.check(model, row, PredictionOptions(), caller())
        return Response(status=route.status, headers=headers)
    job = predictions.predict(model, row, len(request.path))
    return predictions.answer(job, route.write(job, model.signature), headers, route.status)


def _rows_in_body(predictions: SynchronousPredictions, route: MappedRoute, /, reference: str) -> PredictionAnswer:
    kind = media_type(request.environ)
    if not is_json(kind) or (route.require_media_type and not kind):
        raise unsupported(kind, "application/json", "application/json")
    model = predictions.model(reference)
    route.check_fit(model.signature)
    body = received_body()
    rows = offload(len(body), route.read_body, body, model.signature)
    job = predictions.predict(model, rows, len(body))
    headers = {"Content-Type": route.content_type}
    written = offload(native.size_of(job), route.write, job, model.signature)
    return predictions.answer(job, written, headers, route.status)


def _operation(number: int, route: MappedRoute) -> Operation:
    """The document does not name the model: its readers need not know that there is one."""
    words = "_".join(re.findall(r"[a-z0-9]+", str(route).lower()))
    kind: str | Schema = "Text" if isinstance(route.answer, TextAnswer) else {}
    posted = route.method == "POST"
    return Operation(
        f"route_{number}_{words}",
        "Predict as the service did that had this address before",
        {route.status: Answer("The answer of that service.", {route.content_type.partition(";")[0]: kind})},
        problems=("503 unfit_model", *PROBLEMS),
        parameters=(EXPERIMENT_KEY, IDEMPOTENCY_KEY) if posted else (EXPERIMENT_KEY,),
        body="FormerBody" if posted else None,
        error={"type": "object"} if route.error else None,
        tag="ROUTES_FILE",
    )


def collisions(rules: Iterable[Rule], mapped: str) -> list[str]:
    """Return a sentence for each two routes that share a method and an address, at least one of them in the blueprint
    `mapped`."""
    return [
        f"{method} {mapped_rule.rule} collides with {whose} {method} {other.rule}"
        for mapped_rule, other in combinations(sorted(rules, key=lambda rule: not _is_of(rule, mapped)), 2)
        if _is_of(mapped_rule, mapped) and _overlap(mapped_rule.rule, other.rule)
        for whose in ["another" if _is_of(other, mapped) else "Modelgate's own"]
        for method in sorted((mapped_rule.methods or set()) & (other.methods or set()) - {"HEAD", "OPTIONS"})
    ]


def _is_of(rule: Rule, blueprint: str) -> bool:
    return str(rule.endpoint).startswith(f"{blueprint}.")


def _overlap(path: str, other: str) -> bool:
    """Return whether some path fits both. Two segments with variables are taken to overlap."""
    segments, others = _segments(path), _segments(other)
    for a, b in zip(segments, others, strict=False):
        if _SPANNING in (a[: len(_SPANNING)], b[: len(_SPANNING)]):
            return True
        if not _alike(a, b):
            return False
    return len(segments) == len(others)


def _segments(path: str) -> Sequence[str]:
    return path.strip("/").split("/")


def _alike(segment: str, other: str) -> bool:
    if "<" in segment and "<" in other:
        return True
    return any(re.fullmatch(_pattern(a), b) for a, b in ((segment, other), (other, segment)))


def _pattern(segment: str) -> str:
    return "[^/]+".join(map(re.escape, _VARIABLE.split(segment)))

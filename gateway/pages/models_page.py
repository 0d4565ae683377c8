"""The list of models: what needs attention comes first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from contract.model.environments import TODAY
from contract.model.repository import Repository
from contract.model.version_metrics import headline_first
from contract.work.api_keys import Scope
from gateway.door.sessions import PATH
from gateway.http.exchange import caller
from gateway.http.rules import Level
from gateway.pages.layout import blueprint_of_pages, live_page, page
from gateway.pages.model_header import ModelPurpose
from gateway.pages.traffic_page import drawn
from gateway.problems import Problem, ProblemCode
from gateway.serving.attention import ModelState, ModelStates
from gateway.serving.job_access import JobReader
from gateway.serving.model_list import ATTENTION, ORDERS, ListQuery, ModelPage, page_of

LONGEST_SEARCH = 200
"""Characters."""

_SORTS = {"" if name == ATTENTION else name: order.label for name, order in ORDERS.items()}
_COLUMNS = (
    ("model", "name"),
    ("version", None),
    ("predicts", None),
    ("quality", None),
    ("requests", "requests"),
    ("errors", "errors"),
    ("latency", "latency"),
    ("health", ATTENTION),
    ("changed", "changed"),
)


@dataclass(frozen=True)
class Head:
    """The head of a column. `address` sorts by it; '' for a column by which nothing is sorted. `order`: as in
    `aria-sort`; '' if the list is sorted by another column."""

    label: str
    address: str
    order: str


@dataclass(frozen=True)
class Row:
    """A model in the list. `metric`: the name of its headline metric. `requests` and `errors` are the curves."""

    state: ModelState
    prediction: ModelPurpose | None
    metric: str | None
    requests: list[float]
    errors: list[float]

    @classmethod
    def of(cls, state: ModelState) -> Row:
        summary, points = state.summary, drawn(state.recent.points) if state.recent else []
        metric = next(iter(headline_first(summary.metrics, None)), None) if summary else None
        prediction = ModelPurpose.of_version(summary) if summary else None
        errors = [point.error_share or 0.0 for point in points]
        return cls(state, prediction, metric, [float(point.requests) for point in points], errors)


@dataclass(frozen=True)
class ModelsPages:
    """`repository`: that of the caller."""

    repository: Repository
    states: ModelStates
    jobs: JobReader

    def blueprint(self) -> Blueprint:
        routes = blueprint_of_pages("models")

        # Any key: the page says what one that may not read models can do instead.
        @routes.get("", level=Level.OWN, page=True)
        def index() -> Response:
            if not caller().allows(Scope.READ):
                return page("welcome.html", title="Welcome")
            return live_page("models.html", self._list)

        return routes

    def _list(self) -> dict[str, object]:
        query = _asked_query()
        states = self.states.of(self.repository.all_names())
        shown = page_of(states, query, caller().owner)
        lost = any(state.recent is None for state in states)
        query = replace(query, page=shown.number)
        return {
            "title": "Models",
            "query": query,
            "shown": shown,
            "rows": [Row.of(state) for state in shown.states],
            "lost": lost,
            "trainings": () if lost else self.jobs.running_trainings(),
            "has_owner": bool(caller().owner),
            "today": TODAY,
            "longest": LONGEST_SEARCH,
            "sort": (sort := _sort_text(query)),
            "sorts": _SORTS if sort in _SORTS else {**_SORTS, sort: f"{query.sort}, reversed"},
            "heads": list(_heads(query)),
            "address": _address(query),
            **_neighbours(query, shown),
        }


def _asked_query() -> ListQuery:
    """Return the query in the address. Raises `Problem` (400)."""
    text, sort, number = (request.args.get(name, "").strip() for name in ("q", "sort", "page"))
    if len(text) > LONGEST_SEARCH:
        raise Problem(ProblemCode.INVALID_PARAMETER, f"q has {len(text)} characters; send at most {LONGEST_SEARCH}")
    if sort.removeprefix("-") not in ("", *ORDERS):
        detail = f"sort={sort[:64]!r} is not one of {', '.join(ORDERS)}, or one of them after a minus sign"
        raise Problem(ProblemCode.INVALID_PARAMETER, detail)
    if number and not (number.isascii() and number.isdigit() and int(number[:9]) > 0 and len(number) < 10):
        raise Problem(ProblemCode.INVALID_PARAMETER, f"page={number[:64]!r} is not the number of a page, such as 2")
    return ListQuery(
        text,
        request.args.get("tag", ""),
        "mine" in request.args,
        "attention" in request.args,
        sort.removeprefix("-") or ATTENTION,
        sort.startswith("-"),
        int(number or 1),
    )


def _address(query: ListQuery) -> str:
    parameters = {
        "q": query.text,
        "tag": query.tag,
        "mine": query.mine and 1,
        "attention": query.attention and 1,
        "sort": _sort_text(query),
        "page": query.page if query.page > 1 else None,
    }
    text = urlencode({name: value for name, value in parameters.items() if value})
    return f"{PATH}?{text}" if text else PATH


def _sort_text(query: ListQuery) -> str:
    """Return the order as the address has it; '' for the usual one."""
    return f"{'-' * query.reverse}{query.sort}" if query.reverse or query.sort != ATTENTION else ""


def _heads(query: ListQuery) -> Iterator[Head]:
    for label, sort in _COLUMNS:
        if sort is None:
            yield Head(label, "", "")
            continue
        is_sorted = sort == query.sort
        address = _address(replace(query, sort=sort, reverse=is_sorted and not query.reverse, page=1))
        order = "ascending" if ORDERS[sort].rises is not query.reverse else "descending"
        yield Head(label, address, order if is_sorted else "")


def _neighbours(query: ListQuery, shown: ModelPage) -> dict[str, str | None]:
    """Return the addresses of the pages before and after this one, if there are any."""
    before = _address(replace(query, page=query.page - 1)) if query.page > 1 else None
    after = _address(replace(query, page=query.page + 1)) if shown.last < shown.total else None
    return {"before": before, "after": after}

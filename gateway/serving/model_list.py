"""The list of models: searched, filtered, sorted, and a page at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.serving.attention import ModelState

PER_PAGE = 50
_MOST_TAGS = 200
"""The most tags to choose from: the most frequent ones."""


@dataclass(frozen=True)
class Order:
    """What the list is sorted by, in words. The highest `value` comes first, or the lowest if the order `rises`."""

    label: str
    value: Callable[[ModelState], Any]
    rises: bool = False


ATTENTION = "attention"
ORDERS: Mapping[str, Order] = {
    ATTENTION: Order("what needs attention", lambda state: _urgency(state)),
    "name": Order("name", lambda state: state.name, rises=True),
    "requests": Order("requests", lambda state: state.recent.total.requests if state.recent else None),
    "errors": Order("share of errors", lambda state: state.recent.total.error_share if state.recent else None),
    "latency": Order("latency", lambda state: _latency(state)),
    "changed": Order("last change", lambda state: state.summary.created_at if state.summary else None),
}


@dataclass(frozen=True)
class ListQuery:
    """Which models, and in which of the `ORDERS`. Each word of `text` is in a name, an owner, a tag, a description or a
    target. `mine`: those of the owner of the caller's key. `page` counts from 1."""

    text: str = ""
    tag: str = ""
    mine: bool = False
    attention: bool = False
    sort: str = ATTENTION
    reverse: bool = False
    page: int = 1

    @property
    def is_filter(self) -> bool:
        return bool(self.text or self.tag or self.mine or self.attention)


@dataclass(frozen=True)
class ModelPage:
    """A page of `total` models, from number `first` on; after the last page, it is the last one. Of all models that the
    caller may use, wanted or not: their number `known`, how many need attention (`urgent`), their `tags`, and the
    highest values of a quarter of an hour, which are the tops of all sparklines."""

    states: Sequence[ModelState]
    number: int
    first: int
    total: int
    known: int
    urgent: int
    tags: Sequence[str]
    most_requests: int
    highest_share: float

    @property
    def last(self) -> int:
        return self.first + len(self.states) - 1


def page_of(states: Sequence[ModelState], query: ListQuery, owner: str) -> ModelPage:
    """Return the page that a caller of this owner wants of the models."""
    wanted = _sorted([state for state in states if _is_wanted(state, query, owner)], query)
    number = min(query.page, max(1, -(-len(wanted) // PER_PAGE)))
    start = (number - 1) * PER_PAGE
    highest = [state.recent.highest for state in states if state.recent]
    tags = Counter(tag for state in states for tag in state.about.tags)
    return ModelPage(
        states=wanted[start : start + PER_PAGE],
        number=number,
        first=start + 1,
        total=len(wanted),
        known=len(states),
        urgent=sum(state.attention is not None for state in states),
        tags=sorted(tag for tag, _ in tags.most_common(_MOST_TAGS)),
        most_requests=max((requests for requests, _ in highest), default=0),
        highest_share=max((share for _, share in highest), default=0.0),
    )


def _is_wanted(state: ModelState, query: ListQuery, owner: str) -> bool:
    if query.attention and state.attention is None:
        return False
    if query.tag and query.tag not in state.about.tags:
        return False
    if query.mine and not _is_of(state, owner):
        return False
    if not query.text:
        return True
    about, target = state.about, state.summary.training_data.target if state.summary else None
    text = "\n".join((state.name, about.owner, *about.tags, about.description, target or "")).casefold()
    return all(word in text for word in query.text.casefold().split())


def _is_of(state: ModelState, owner: str) -> bool:
    """Whether a model belongs to an owner: people say so, or its schedule does."""
    of_schedule = state.schedule.owner if state.schedule else ""
    return bool(owner) and owner.casefold() in (state.about.owner.casefold(), of_schedule)


def _urgency(state: ModelState) -> tuple[int, int] | None:
    """Return how urgent it is to look at a model; of the same urgency, more requests make it more so."""
    return (state.attention.urgency, state.recent.total.requests if state.recent else 0) if state.attention else None


def _latency(state: ModelState) -> tuple[float, float] | None:
    total = state.recent.total if state.recent else None
    median, longest = (total.quantile(0.5), total.quantile(0.99)) if total else (None, None)
    return None if median is None or longest is None else (median, longest)


def _sorted(states: Sequence[ModelState], query: ListQuery) -> Sequence[ModelState]:
    """Return the models in the wanted order, those without a value last, and those with the same by name. In the usual
    order, a search has those first whose name it is, then those that have it in their names."""
    by_name = sorted(states, key=lambda state: state.name)
    order = ORDERS[query.sort]
    values = {state.name: order.value(state) for state in by_name}
    having = [state for state in by_name if values[state.name] is not None]
    having.sort(key=lambda state: values[state.name], reverse=order.rises is query.reverse)
    found = [*having, *(state for state in by_name if values[state.name] is None)]
    words = query.text.casefold().split() if query.sort == ATTENTION else []
    return sorted(found, key=lambda state: (words != [state.name], not all(word in state.name for word in words)))

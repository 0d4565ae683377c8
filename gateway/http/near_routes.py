"""Suggests an address for one that no route has."""

from __future__ import annotations

import re
from collections import defaultdict

from flask import current_app

from contract.wording import Suggestions
from gateway.http.rules import Route
from gateway.problems.problem import similar

_VARIABLE = re.compile(r"<[^>]*>")


def nearest(path: str, *, page: bool) -> str | None:
    """Return the address of a page, or of the HTTP interface, that differs from `path` in one similar word; None if
    there is none."""
    segments = path.split("/")
    addresses: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for rule in current_app.url_map.iter_rules():
        parts = rule.rule.split("/")
        if not isinstance(rule, Route) or rule.page is not page or len(parts) != len(segments):
            continue
        pairs = [(sent, sent if _VARIABLE.search(part) else part) for part, sent in zip(parts, segments, strict=True)]
        misspelt = [(sent, part) for sent, part in pairs if sent != part]
        if len(misspelt) == 1:
            sent, part = misspelt[0]
            addresses[sent][part] = "/".join(word for _, word in pairs)
    suggestions = Suggestions()
    close = (by_part.get(similar(sent, by_part, suggestions) or "") for sent, by_part in addresses.items())
    return next(filter(None, close), None)

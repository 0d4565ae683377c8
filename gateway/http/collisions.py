"""Addresses that two routes would take."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import combinations

from werkzeug.routing import Rule

_VARIABLE = re.compile(r"<[^<>]+>")
_SPANNING = "<path:"
"""Begins a variable that stands for all segments that follow."""


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

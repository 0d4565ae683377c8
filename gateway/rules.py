"""What each route declares: who may use it, and how large its body may be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from werkzeug.routing import Rule

from contract.settings import MB


class Level(StrEnum):
    """Who may use a route. Without keys, every level but `open` means: any program on an allowed host."""

    OPEN = "open"
    """Anybody, under any `Host`: health checks know the gateway's address and not its name."""
    READ = "read"
    PREDICT = "predict"
    TRAIN = "train"
    PUBLISH = "publish"
    ADMIN = "admin"


@dataclass(frozen=True)
class BodyLimit:
    """The most bytes of a body that is held in memory; `words` end the sentence "the body is larger than …"."""

    bytes: int
    words: str

    @classmethod
    def of_request(cls, kilobytes: int) -> BodyLimit:
        """The limit of a JSON body without rows, such as a move of an alias."""
        return cls(kilobytes * 1024, f"{kilobytes} KB, which is the most that this address takes; shorten it")

    @classmethod
    def of_rows(cls, megabytes: int) -> BodyLimit:
        words = f"{megabytes} MB (MAX_BODY_MB); send the rows in several requests"
        return cls(megabytes * MB, words)


SMALL_BODY = BodyLimit.of_request(256)


class Route(Rule):
    """A rule of Flask's that declares its level: `@routes.get("/jobs", level=Level.READ)`."""

    def __init__(self, path: str, *, level: Level | None = None, body: BodyLimit = SMALL_BODY, **options: Any) -> None:
        """Raises `TypeError` without a level, so that the gateway does not start."""
        if level is None:
            levels = ", ".join(f"Level.{level.name}" for level in Level)
            raise TypeError(f"the route {path} declares no level; add level=, one of {levels}")
        super().__init__(path, **options)
        self.level = level
        self.body = body


def listed(rules: Iterable[Rule]) -> list[str]:
    """Return the routes with their levels, a line for each: `read     GET     /v1/jobs`."""
    lines = []
    for rule in rules:
        level = rule.level if isinstance(rule, Route) else "none"
        methods = sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        lines += [(rule.rule, method, f"{level:<8} {method:<7} {rule.rule}") for method in methods]
    return [line for _, _, line in sorted(lines)]

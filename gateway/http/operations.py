"""What documents a route: what it takes and answers. `gateway.openapi` makes the OpenAPI document from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from broker.sides.gateway.listing import LARGEST_PAGE
from gateway.protocols.csv_rows import FORMULAS
from gateway.protocols.parameters import BARE_KEY, DEFAULT_LIMIT, LARGEST_NUMBER, LONGEST_KEY, MOST_SECONDS

Schema = Mapping[str, Any]
"""A JSON schema (2020-12)."""
Content = str | Mapping[str, str | Schema]
"""What a body holds: a schema for each media type. A text alone is the schema of JSON. A schema that is a text is the
name of one in `gateway.openapi.schemas`."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of the query, or with `location="header"` a header of the request."""

    name: str
    description: str
    schema: Schema = field(default_factory=lambda: TEXT)
    location: str = "query"
    required: bool = False
    example: str | None = None


@dataclass(frozen=True)
class Answer:
    """The answer with one status. `headers`: those that matter to clients, with a description each."""

    description: str
    content: Content = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """What documents a route. `id` is the name of the function that generators of clients make.

    `answers` has the successful ones by status. `problems` are the other ones, each a status and a code such as
    `"404 unknown_job"`; those that the door and the body give to every such route are added (`gateway.openapi`).
    `error`: the schema of the errors of a route that has its own, in JSON; None: `application/problem+json`.
    `streamed`: the body goes to the spool in pieces, so the limits of other bodies do not hold for it.
    `tag`: the group in which it is shown; None: the name of its blueprint.
    """

    id: str
    summary: str
    answers: Mapping[int, Answer]
    problems: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: Content | None = None
    body_required: bool = True
    streamed: bool = False
    error: str | Schema | None = None
    tag: str | None = None


def listed(problems: tuple[str, ...]) -> Mapping[int, list[str]]:
    """Return the codes by status."""
    codes: dict[int, list[str]] = {}
    for problem in problems:
        status, code = problem.split()
        if code not in codes.setdefault(int(status), []):
            codes[int(status)].append(code)
    return codes


def matching(pattern: re.Pattern[str]) -> Schema:
    """Return the schema of texts that match the whole of a pattern."""
    return {**TEXT, "pattern": f"^(?:{pattern.pattern})$" if "|" in pattern.pattern else f"^{pattern.pattern}$"}


TEXT: Schema = {"type": "string"}
FILE: Schema = {"type": "string", "format": "binary"}
SECONDS: Schema = {"type": "number", "minimum": 0, "maximum": MOST_SECONDS}
MOMENT: Schema = {"type": "string", "format": "date-time"}
COUNT: Schema = {"type": "integer", "minimum": 1, "maximum": LARGEST_NUMBER}

WAIT = Parameter("wait", "Seconds to wait for the end of the job; no longer than MAX_WAIT.", SECONDS)
PREFER = Parameter(
    "Prefer",
    "`wait=5` waits up to 5 s for the result. `handling=lenient` leaves out invalid rows instead of refusing all.",
    location="header",
    example="wait=5",
)
CANCEL_AFTER = Parameter(
    "Cancel-After", "Seconds after which the job expires unless it has started.", SECONDS, "header"
)
IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "A new UUID for each new request. The same key and request get what the first one has made.",
    matching(BARE_KEY),
    "header",
)
"""A route with this parameter is idempotent: the door notes key and fingerprint of its requests."""
EXPERIMENT_KEY = Parameter(
    "Experiment-Key",
    "Names the caller, who gets the same version all through an experiment; by default the `id_field` of the rows, else"
    " the id of the request.",
    {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY},
    "header",
)
ESCAPE = Parameter(
    "escape",
    "`formulas`: in a CSV, an apostrophe comes before cells that a spreadsheet would run.",
    {"type": "string", "enum": [FORMULAS]},
)
WEBHOOK_URL = Parameter(
    "Webhook-Url", "A URL that gets the end of the job.", {"type": "string", "format": "uri"}, "header"
)
EXPLAIN_PARAMETERS = (
    Parameter("class", "Of a classifier: the class whose probability is explained; by default the predicted one."),
    Parameter("output", "Of several outputs: the one that is explained; by default the first."),
    Parameter("exact", "`true`: over all coalitions of up to 16 inputs.", {"type": "boolean"}),
    Parameter("seed", "Of estimates; by default 0.", {"type": "integer", "minimum": 0, "maximum": LARGEST_NUMBER}),
)
LIMIT = Parameter("limit", "Most items of the page.", {**COUNT, "maximum": LARGEST_PAGE, "default": DEFAULT_LIMIT})
CURSOR = Parameter("cursor", "`next_cursor` of the page before.")

REPLAYED = {"Idempotent-Replayed": "`true` if an earlier request with this `Idempotency-Key` has made it."}
LOCATION = {"Location": "The address of what was made."}
JOB_ACCEPTED = Answer(
    "The job is accepted.", "Job", {**LOCATION, "Retry-After": "Seconds after which it may have ended.", **REPLAYED}
)
DELETED = Answer("It is gone.")

KEPT = ("503 redis_full", "503 redis_disk_full", "503 redis_read_only", "503 too_few_replicas")
"""Problems of a route that writes into Redis, besides those of one that reads there."""
COMMANDED = (*KEPT, "503 no_trainer", "503 redis_disk_slow", "503 store_away", "503 trainer_crashed", "507 models_full")
"""Problems of a route that has the trainer change the model repository."""
OBSERVED = (
    *("404 no_current_version", "429 too_many_questions"),
    *("503 no_observer", "503 observer_crashed", "503 observer_failed", *KEPT),
)
"""Problems of a route that asks the observer."""

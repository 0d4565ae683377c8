"""Checks of requests for explanations, which count as the rows that the model has to score for them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from contract.model.manifest import ModelManifest
from contract.model.repository import Repository
from contract.model.signature import EXPLAIN
from contract.row import Row
from contract.rows.background import has_background, needs_background
from contract.wording import listed
from contract.work.api_keys import Detail, Key
from contract.work.explanations import MOST_EXACT, ExplainRequest, counted_rows
from gateway.problems import Problem, ProblemCode

_SHOWN = 50
"""Classes that a problem names."""


def check_explainable(repository: Repository, model: ModelManifest, request: ExplainRequest, caller: Key) -> None:
    """Raise `Problem` if the version cannot be explained, or has no such output or class, or if explanations would
    tell the caller too much: they name the inputs of the model."""
    if caller.detail is Detail.TERSE:
        raise Problem(ProblemCode.UNKNOWN_METHOD, "a key with the detail terse gets no explanations", methods=[])
    outputs, name = model.signature.outputs, f"version {model.version} of the model {model.name!r}"
    if not outputs:
        methods = [offered.name for offered in model.signature.methods]
        detail = f"{name} does not predict, so there is nothing to {EXPLAIN}; it has {listed(methods)}"
        raise Problem(ProblemCode.UNKNOWN_METHOD, detail, methods=methods)
    names = [str(output.name) for output in outputs if output.name is not None]
    if request.output is not None and request.output not in names:
        has = f"its outputs are {listed(names)}" if names else "it has one output; leave output out"
        raise Problem(ProblemCode.INVALID_PARAMETER, f"{name} has no output {request.output[:64]!r}: {has}")
    output = next(output for output in outputs if request.output in (None, output.name))
    labels = list(map(str, output.shown_labels))
    if request.label is not None and request.label not in labels:
        has = f"its classes are {listed(labels, _SHOWN)}" if labels else "it predicts no known classes; leave class out"
        raise Problem(ProblemCode.INVALID_PARAMETER, f"{name} has no class {request.label[:64]!r}: {has}")
    inputs = len(model.signature.inputs) if needs_background(model.signature) else 0
    if request.exact and inputs > MOST_EXACT:
        detail = f"exact goes over the coalitions of at most {MOST_EXACT} inputs, and {name} has {inputs}"
        raise Problem(ProblemCode.INVALID_PARAMETER, f"{detail}; leave exact out for an estimate with its error")
    if not has_background(repository.files(model.name, model.version), model):
        detail = f"{name} has no rows to explain its answers against: train it again, or import it with a sample (X=…)"
        raise Problem(ProblemCode.NO_BACKGROUND, detail)


def counted(rows: Sequence[Row], model: ModelManifest, request: ExplainRequest, most: int) -> int:
    """Return as how many rows the explanations of these rows count. Raises `Problem` if these are more than `most`."""
    counts = [counted_rows(row, model.signature, exact=request.exact) for row in rows]
    total = sum(counts)
    if total <= most:
        return total
    fits = next(number for number, so_far in enumerate(accumulate(counts)) if so_far > most)
    remedy = "leave exact out" if request.exact else "ask for a higher limit"
    if fits:
        remedy = f"send {fits} at once, or all as a file, to POST /v1/models/{model.name}/predict-file?method={EXPLAIN}"
    detail = (
        f"explaining these rows counts as {total} rows, and at most {most} may wait (MAX_QUEUE_ROWS, or a limit of the"
        f" key); {remedy}"
    )
    raise Problem(ProblemCode.TOO_MANY_ROWS, detail, rows=fits)

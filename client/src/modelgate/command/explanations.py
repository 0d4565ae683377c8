"""The verb `explain`: why a model answers what it does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from modelgate.command.exits import ExitCode, Failed
from modelgate.command.models import Reference
from modelgate.command.predictions import FormatOption, score_file
from modelgate.command.session import Session
from modelgate.command.terminal import figure, table
from modelgate.command.verbs import flag, option
from modelgate.explanations import query_of


def explain(
    session: Session,
    reference: Reference,
    rows: Annotated[
        str,
        typer.Argument(
            metavar="ROWS",
            show_default=False,
            help="A file of CSV, NDJSON or Parquet, or rows as JSON: '{\"age\": 41}'; by default standard input.",
        ),
    ] = "-",
    output: Annotated[
        str | None, option("Where those of a file go; by default standard output.", "--output", "-o", metavar="FILE")
    ] = None,
    format_: FormatOption = None,
    label: Annotated[
        str | None, option("The class whose probability is explained; by default the predicted one.", "--class")
    ] = None,
    of: Annotated[
        str | None, option("Of several outputs: the one that is explained; by default the first.", metavar="NAME")
    ] = None,
    exact: Annotated[bool, flag("Never estimate, with up to 16 inputs.", "--exact")] = False,
    seed: Annotated[int, option("The seed of estimates.", min=0, max=999_999_999)] = 0,
) -> None:
    """Explain answers: what each input contributes. The base and the contributions add up to the value.

    Of a file, the answers have its columns, then base, value, the class, the largest error and a column for each input.
    95 % of estimates are wrong by less than their error; what is exact has none.
    """
    if not rows.lstrip().startswith(("{", "[")):
        query = query_of(label, of, exact, seed)
        score_file(session, reference, rows, output, format_, method="explain", query=query)
        return
    if output or format_:
        raise Failed("rows as JSON are answered here: --output and --format are for files", ExitCode.USAGE)
    try:
        body = json.loads(rows)
    except ValueError as error:
        raise Failed(f"the rows are no JSON: {error}", ExitCode.USAGE) from None
    asked = session.client.model(reference)
    body = [body] if isinstance(body, dict) else body
    explained = asked.explain(body, label=label, output=of, exact=exact, seed=seed)
    session.show(explained, lambda: _lines(explained))


def _lines(explained: list[dict[str, Any]]) -> Iterator[RenderableType]:
    for number, why in enumerate(explained):
        of_class = "" if why["class"] is None else f" of class {why['class']}"
        yield f"row {number}: {figure(why['value'])}{of_class}, from a base of {figure(why['base'])}"
        errors = why["errors"] or {}
        strongest = sorted(why["contributions"].items(), key=lambda item: -abs(item[1]))
        rows = [(name, f"{part:+.4g}", figure(errors[name]) if errors else "exact") for name, part in strongest]
        yield table(("INPUT", "CONTRIBUTION", "ERROR"), rows, ("CONTRIBUTION", "ERROR"))

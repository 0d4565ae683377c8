"""The verb `train`: trains a model, and says what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from modelgate.command.exits import ExitCode, Failed
from modelgate.command.jobs import wait_for
from modelgate.command.models import Name, words
from modelgate.command.session import Session, segment, without_none
from modelgate.command.terminal import count
from modelgate.command.verbs import option
from modelgate.jobs import TrainingRun

_FEWEST, _MOST = 2, 4
"""Digits of a figure after the point: as few as tell two of them apart."""


def _option(text: str, metavar: str | None = None, *names: str) -> Any:
    return option(text, *names, metavar=metavar, rich_help_panel="The training")


@dataclass
class TrainingOptions:
    """The options of a training."""

    target: Annotated[str | None, _option("The column to predict.", "COLUMN")] = None
    id_: Annotated[str | None, _option("The column that identifies a row.", "COLUMN", "--id")] = None
    feature: Annotated[
        list[str] | None, _option("A column to learn from; by default all others. May be repeated.", "COLUMN")
    ] = None
    kind: Annotated[
        list[str] | None, _option("The kind of a column, such as zip=string. May be repeated.", "COLUMN=KIND")
    ] = None
    estimator: Annotated[str | None, _option("linear, boosting, forest or blend; by default the best.")] = None
    recipe: Annotated[
        str | None, _option("The recipe; by default the one with the name of the model, else tabular.", "NAME")
    ] = None
    path: Annotated[str | None, _option("A file below DATA_DIR of the server to learn from.", "FILE")] = None
    outcomes: Annotated[
        int | None, _option("Learn from this many of the newest predictions with a known outcome.", "ROWS")
    ] = None
    floor: Annotated[float | None, _option("The gate: the least value of the metric.")] = None
    margin: Annotated[float | None, _option("The gate: by how much the metric may be worse than now.")] = None
    metric: Annotated[str | None, _option("The metric of the gate; by default the most telling one.")] = None
    require_comparison: Annotated[
        bool, _option("The gate: the version can be compared with the one it replaces.", None, "--require-comparison")
    ] = False
    experiment: Annotated[
        str | None,
        _option("Try the version beside the current one first: shadow, or canary=0.05, its share.", "KIND"),
    ] = None
    accept_signature: Annotated[
        bool, _option("Promote it even if callers have to change something.", None, "--accept-signature")
    ] = False
    alias: Annotated[str | None, _option("The alias that the version gets; by default current.", "NAME")] = None
    notes: Annotated[str | None, _option("A remark that the version keeps.", "TEXT")] = None

    def to_json(self) -> dict[str, Any]:
        """Return the training request. Raises `Failed`."""
        request = {
            "target": self.target,
            "id_field": self.id_,
            "features": self.feature or None,
            "kinds": dict(map(_kind, self.kind or ())) or None,
            "parameters": {"estimator": self.estimator} if self.estimator else None,
            "recipe": self.recipe,
            "data": self._data(),
            "gate": without_none(
                {
                    "floor": self.floor,
                    "margin": self.margin,
                    "metric": self.metric,
                    "require_comparison": self.require_comparison or None,
                    "experiment": _experiment(self.experiment) if self.experiment else None,
                }
            )
            or None,
            "accept": ["signature"] if self.accept_signature else None,
            "alias": self.alias,
            "notes": self.notes,
        }
        return without_none(request)

    def _data(self) -> dict[str, Any] | None:
        if self.path is not None and self.outcomes is not None:
            raise Failed("--path and --outcomes both name the rows; give one of them", ExitCode.USAGE)
        if self.outcomes is not None:
            return {"outcomes": self.outcomes}
        return {"path": self.path} if self.path else None


def train(
    session: Session,
    name: Name,
    rows: Annotated[
        Path | None, typer.Argument(metavar="CSV", help="The rows to learn from; by default those of the recipe.")
    ] = None,
    *,
    options: TrainingOptions,
) -> None:
    """Train a model, and promote the version if it passes the gate. Ctrl-C cancels the training.

    While it runs, the candidates are shown as they come. The report of the version has the details.
    """
    for given, value in (("--path", options.path), ("--outcomes", options.outcomes)):
        if rows is not None and value is not None:
            raise Failed(f"{rows} and {given} both name the rows; give one of them", ExitCode.USAGE)
    run = _submitted(session, name, rows, options.to_json())
    wait_for(run)
    session.notes(run.output["remarks"])
    session.show(run.json, lambda: outcome(run.output))
    if not run.promoted and not run.output.get("experiment"):
        raise typer.Exit(ExitCode.NOT_PROMOTED)


def outcome(output: Mapping[str, Any]) -> Iterable[str]:
    """Return the lines about a new version: whether it was promoted, why, and what to do next."""
    version, compared = f"{output['model']}@{output['version']}", output.get("comparison")
    if output["promoted"]:
        if output.get("level", "good") != "good":
            yield f"{version} promoted, but look at it first. {output['verdict']}"
        else:
            yield f"{version} promoted: {_compared(compared, 'before') if compared else _measured(output)}"
        yield f"See why: modelgate report {version} --open"
        return
    if output.get("experiment"):
        yield f"{version} is published: {output['reason']}"
        yield f"See how far it is: modelgate experiment {output['model']}"
        return
    reason = str(output["reason"]).partition("; to promote it anyway")[0]
    if compared and compared["decisive"]:
        reason = _compared(compared, "current")
    yield f"{version} not promoted: {reason}"
    yield f"Promote all the same: modelgate promote {version} --force"


def _compared(comparison: Mapping[str, Any], other: str) -> str:
    """Return a sentence such as `accuracy 0.61, current 0.66 on 1,204 rows neither has seen`."""
    now, before = comparison["now"], comparison["before"]
    digits = next((d for d in range(_FEWEST, _MOST) if f"{now:.{d}f}" != f"{before:.{d}f}"), _MOST)
    figures = f"{words(comparison['metric'])} {now:,.{digits}f}, {other} {before:,.{digits}f}"
    return f"{figures} on {count(comparison['rows'], 'row')} neither has seen"


def _measured(output: Mapping[str, Any]) -> str:
    name, value = output["headline"], output["metrics"].get(output["headline"])
    return f"{words(name)} {value:,.2f}" if isinstance(value, int | float) else "nothing was measured"


def _kind(text: str) -> tuple[str, str]:
    column, _, kind = text.rpartition("=")
    if not column:
        raise Failed(f"--kind {text!r} is not COLUMN=KIND, such as zip=string", ExitCode.USAGE)
    return column, kind


def _experiment(text: str) -> dict[str, Any]:
    kind, _, share = text.partition("=")
    try:
        return without_none({"kind": kind, "share": float(share) if share else None})
    except ValueError:
        raise Failed(f"--experiment {text!r} is neither shadow nor canary=0.05", ExitCode.USAGE) from None


def _submitted(session: Session, name: str, rows: Path | None, request: dict[str, Any]) -> TrainingRun:
    if rows is not None:
        return session.client.train(name, rows, **request)
    made = session.client.request("POST", f"/v1/models/{segment(name)}/train", json=request)
    return TrainingRun(session.client, made)

"""The options that say how to train: those of `train` and of `schedule`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from modelgate.command.exits import ExitCode, Failed
from modelgate.command.session import without_none
from modelgate.command.verbs import option


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
    floor: Annotated[float | None, _option("The gate: the least value of the metric.")] = None
    margin: Annotated[float | None, _option("The gate: by how much the metric may be worse than now.")] = None
    metric: Annotated[str | None, _option("The metric of the gate; by default the most telling one.")] = None
    require_comparison: Annotated[
        bool, _option("The gate: the version can be compared with the one it replaces.", None, "--require-comparison")
    ] = False
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
            "data": {"path": self.path} if self.path else None,
            "gate": without_none(
                {
                    "floor": self.floor,
                    "margin": self.margin,
                    "metric": self.metric,
                    "require_comparison": self.require_comparison or None,
                }
            )
            or None,
            "accept": ["signature"] if self.accept_signature else None,
            "alias": self.alias,
            "notes": self.notes,
        }
        return without_none(request)


def _kind(text: str) -> tuple[str, str]:
    column, _, kind = text.rpartition("=")
    if not column:
        raise Failed(f"--kind {text!r} is not COLUMN=KIND, such as zip=string", ExitCode.USAGE)
    return column, kind

"""Training rows from the prediction log: what was asked, and what came true of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from contract.model.manifest import ModelManifest
from contract.model.repository import CURRENT, Repository
from contract.model.signature import RowFormat
from contract.row import Value
from contract.work.observation import OUTCOME_PAGE, Observation, ObservationAction
from contract.work.training import TrainingRequest
from trainer.recipe import DataError, Recipe, Table

Ask = Callable[[Observation], Mapping[str, Any]]
"""Returns the observer's answer. Raises `ModelgateError`, and `DataError` if no observer answers."""

SOURCE = "the prediction log"


def outcome_table(
    request: TrainingRequest, recipe: Recipe, repository: Repository, ask: Ask
) -> tuple[Table, TrainingRequest]:
    """Return the newest rows of the log whose outcome is known, in the columns of the current version, and the request
    with these columns if the recipe has none of its own. Raises `DataError`, and as `ask`."""
    manifest = _current(request.model, repository)
    signature = manifest.signature
    if recipe.inputs is None:
        kinds = {field.name: str(field.kind) for field in signature.inputs}
        target = request.target or manifest.training_data.target
        request = dataclasses.replace(
            request, target=target, features=signature.names, id_field=signature.id_field, kinds=kinds
        )
        names, words, cell = (signature.id_field, target or "outcome"), None, _text
    else:
        names, words, cell = (recipe.id_field, recipe.fields[1].name), recipe.fields[1].categories, _itself
    columns, rows, unread = list(signature.names), list[dict[str | None, Value]](), 0
    for page in _pages(request, manifest.version, ask):
        columns = [name for name in columns if name in page["columns"]]
        rows += [dict(zip([*page["columns"], *names], row, strict=True)) for row in page["rows"]]
        unread += sum(page["unread"].values())
    if not rows:
        raise DataError(
            f"{SOURCE} has no row of {request.model} whose outcome is known; send outcomes, then train again"
        )
    id_name, target_name = names
    if id_name and all(row[id_name] is not None for row in rows):
        columns.insert(0, id_name)
    labels = signature.output.shown_labels
    word_of = dict(zip(labels, words, strict=False)) if words else {}
    cells = [
        [*(cell(row[name]) for name in columns), cell(word_of.get(row[target_name], row[target_name]))] for row in rows
    ]
    remarks = [f"{unread} outcomes are no label of version {manifest.version}, and are left out"] if unread else []
    return Table(SOURCE, [*columns, target_name], cells, remarks), request


def _current(model: str, repository: Repository) -> ModelManifest:
    version = repository.aliases(model).get(CURRENT)
    if version is None:
        raise DataError(f"{model} has no current version, so {SOURCE} has no rows for it; train it with other data")
    manifest = repository.manifest(model, version)
    if manifest.signature.format is not RowFormat.TABLE or len(manifest.signature.outputs) != 1:
        raise DataError(f"{model} does not take columns and give one answer; train it with other data")
    return manifest


def _pages(request: TrainingRequest, version: int, ask: Ask) -> Iterator[Mapping[str, Any]]:
    if request.outcomes is None:
        return
    left, cursor = request.outcomes.most, None
    while left > 0:
        page = ask(
            Observation(
                ObservationAction.READ_OUTCOMES,
                request.model,
                version=version,
                owner=request.outcomes.owner,
                limit=min(OUTCOME_PAGE, left),
                cursor=cursor,
            )
        )
        yield page
        left, cursor = left - OUTCOME_PAGE, page["next_cursor"]
        if cursor is None:
            return


def _text(value: Value) -> Value:
    """Return the value as a CSV file would have it."""
    if value is None or isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else repr(value).removesuffix(".0")


def _itself(value: Value) -> Value:
    return value

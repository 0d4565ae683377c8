"""Trainings: the rows to learn from as a form, and the job that they become."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelgate.connection import Connection
from modelgate.forms import Form
from modelgate.jobs import TrainingRun
from modelgate.progress import OnSent, counting


def train(
    client: Connection,
    model: str,
    data: Any = None,
    *,
    target: str | None = None,
    features: Sequence[str] | None = None,
    id_field: str | None = None,
    kinds: Mapping[str, str] | None = None,
    recipe: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    gate: Mapping[str, Any] | None = None,
    accept: Sequence[str] | None = None,
    alias: str | None = None,
    notes: str | None = None,
    outcomes: int | None = None,
    progress: bool | None = None,
    on_sent: OnSent | None = None,
) -> TrainingRun:
    """Start a training of a model and return it; `wait()` for its version.

    `data`: a DataFrame, or the name of a CSV file; without it the data of the recipe, or with `outcomes` what came true
    of the newest so many logged predictions. `target`: the column to predict.
    `features`: the columns to learn from, by default all others. `id_field`: the column that identifies a row.
    `kinds`: the kinds of columns where they should not be inferred. `gate`: what the version must reach to be promoted:
    `{"floor": 0.7}`. `accept=["signature"]`: promote it even if callers have to change something. `progress`: show a
    bar while the rows are sent; by default in a terminal and in a notebook. `on_sent` gets the bytes sent and their
    total instead. Ctrl-C cancels the training, also before the server has answered. Raises `ModelgateError`.

    >>> from modelgate import Client
    >>> run = Client().train("iris").wait()
    >>> run.status, run.promoted
    ('succeeded', True)
    """
    options = {
        "target": target,
        "features": None if features is None else list(features),
        "id_field": id_field,
        "kinds": None if kinds is None else dict(kinds),
        "recipe": recipe,
        "parameters": None if parameters is None else dict(parameters),
        "gate": None if gate is None else dict(gate),
        "accept": None if accept is None else list(accept),
        "alias": alias,
        "notes": notes,
        "data": None if outcomes is None else {"outcomes": outcomes},
    }
    request = {name: value for name, value in options.items() if value is not None}
    path = f"/v1/models/{model}/train"
    if data is None:
        return TrainingRun(client, client.start(path, json=request))
    form = Form({"request": json.dumps(request)}, {"file": csv_part(data)})
    with counting(progress, on_sent) as count:
        job = client.start(
            path,
            data=lambda: form.open(count),
            headers=form.headers,
            upload=True,
        )
    return TrainingRun(client, job)


def csv_part(data: Any) -> tuple[str, bytes | Path]:
    """Return a DataFrame, or the CSV file of this name, as a file of a form. An index is left out."""
    if isinstance(data, str | Path):
        return Path(data).name, Path(data)
    return "rows.csv", data.to_csv(index=False).encode()

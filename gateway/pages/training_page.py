"""Training from a CSV file: first its columns as the training will understand them, then the job."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from flask import Blueprint, Response, request

from contract.errors import ModelgateError
from contract.model.manifest import ModelManifest
from contract.model.repository import CURRENT, valid_name
from contract.rows import csv_table
from contract.work.api_keys import Scope
from contract.work.training import (
    GENERIC_RECIPE,
    KINDS,
    METRICS,
    ColumnUse,
    TrainingPreview,
    TrainingRequest,
    name_of_kind,
)
from gateway.door.sessions import PATH
from gateway.http.exchange import caller, current
from gateway.http.forms import Upload, received
from gateway.http.idempotency import note_form_of_page
from gateway.http.media_types import MULTIPART
from gateway.http.rules import BodyLimit
from gateway.pages.charts.sparklines import bars
from gateway.pages.layout import asked_by_open_page, blueprint_of_pages, lead, page, see
from gateway.problems import MalformedBody, Problem, ProblemCode
from gateway.protocols import native
from gateway.protocols.experiments import METRICS as LOSSES
from gateway.protocols.training_requests import OUTCOMES, fields_of_form, training_request
from gateway.routes.trainings import SCHEDULE_BODY
from gateway.serving.model_versions import check_new_name
from gateway.serving.trainings import Trainings

MOST_SHOWN = 1000
"""Columns of a file that the page shows."""
_PREVIEWED = ("target", "id_field", "kinds", "features", "accept")
_PLAIN = (*_PREVIEWED, "alias", "notes")
_PARAMETERS = "parameters."
_NESTED = ("gate.", _PARAMETERS)
"""How fields begin that are named as the errors of the HTTP interface name them."""


@dataclass(frozen=True)
class TrainingPages:
    """`fields`: the limit of a form's fields."""

    trainings: Trainings
    fields: BodyLimit

    def blueprint(self) -> Blueprint:
        routes = blueprint_of_pages("training")

        @routes.get("/train", level=Scope.TRAIN, page=True)
        def form() -> Response:
            self.trainings.recipes()  # without a trainer, the visitor learns it before choosing a file
            model = request.args.get("model", "").strip()
            return self._form({"model": model, "again": model if self._known(model) else ""})

        @routes.post("/train/preview", level=Scope.TRAIN, page=True, audit="preview_training", streams=True)
        def preview() -> Response:
            with self._received() as upload:
                entered = {"model": "", "again": "", "suggested": ""}
                entered |= {name: text.strip() for name, text in upload.fields.items()}
                if entered["model"] in ("", entered["suggested"]):
                    entered["model"] = entered["suggested"] = self._free(_name_of(upload.client_names.get("file", "")))
                model = entered["model"] if valid_name(entered["model"]) else "preview"
                _note_model(model)
                begun = replace(upload, fields={**self._choices_before(upload, entered["again"]), **upload.fields})
                training = self._requested(begun, model, preview=True)
                return self._form(entered, self.trainings.preview(training), training)

        @routes.post("/train", level=Scope.TRAIN, page=True, audit="train", streams=True)
        def train() -> Response:
            with self._received() as upload:
                model = upload.fields.get("model", "").strip()
                check_new_name(model)
                if not caller().may_use(model):
                    raise Problem(ProblemCode.MISSING_SCOPE, f"this key may not train a model named {model!r}")
                _note_model(model)
                training = self._requested(upload, model)
                self._schedule(model, upload.fields)
                if upload.fields.get("once"):
                    note_form_of_page(current(), upload.content(self.trainings.spool))
                job = self.trainings.submit(training)
            current().job_id = job.id
            target = f"{PATH}/jobs/{job.id}"
            return lead(target) if asked_by_open_page(request.environ) else see(target)

        return routes

    def _form(
        self,
        entered: Mapping[str, str],
        preview: TrainingPreview | None = None,
        training: TrainingRequest | None = None,
    ) -> Response:
        again = self._known(entered.get("again", ""))
        return page(
            "train.html",
            title=f"Train {again.name} again" if again else "Train a model",
            entered=entered,
            once=secrets.token_urlsafe(12),
            again=again,
            known=self._known(entered["model"]),
            preview=preview,
            training=training,
            others=_not_shown(preview, training) if preview and training else None,
            most_shown=MOST_SHOWN,
            parameters=self.trainings.trainer.parameters(GENERIC_RECIPE) or [],
            metrics=METRICS,
            losses=LOSSES,
            bars=bars,
            kinds=list(KINDS),
            uses=ColumnUse,
        )

    def _known(self, name: str) -> ModelManifest | None:
        """Return the current version of a model, or its newest one; None if the caller may not see it."""
        if not (valid_name(name) and caller().may_use(name) and caller().allows(Scope.READ)):
            return None
        repository = self.trainings.repository
        versions = repository.versions(name)
        if not versions:
            return None
        try:
            return repository.manifest(name, repository.aliases(name).get(CURRENT, versions[-1]))
        except ModelgateError:  # its folder is damaged, which the page of the version tells
            return None

    def _free(self, name: str) -> str:
        """Return `name`, or `name-2` and so on if the name is taken; `name` if the key may use no other one."""
        names = (name, *(f"{name[:60]}-{number}" for number in range(2, 100)))
        return next((free for free in names if caller().may_use(free) and not self._is_taken(free)), name)

    def _is_taken(self, name: str) -> bool:
        return valid_name(name) and bool(self.trainings.repository.versions(name))

    def _choices_before(self, upload: Upload, again: str) -> Mapping[str, str]:
        """Return target, id and kinds as the model `again` has them, as far as the file has these columns; nothing if
        the visitor has chosen a target already."""
        known = self._known(again)
        file = upload.files.get("file")
        if known is None or file is None or upload.fields.get("target"):
            return {}
        with self.trainings.spool.files.open(file) as opened, suppress(csv_table.NotCsv):
            columns = [name.strip() for name in csv_table.read_header(opened)[0]]
            return _choices(known, columns)
        return {}

    @contextmanager
    def _received(self) -> Iterator[Upload]:
        """Yield the form. Its file is deleted if the block raises."""
        if request.mimetype != MULTIPART:
            raise Problem(ProblemCode.INVALID_TRAINING, "choose a CSV file to learn from")
        with received(request.environ, self.trainings.spool, self.fields.bytes) as upload:
            if not set(upload.files) <= {"file"}:  # nobody would delete others
                detail = "the form has several files; choose one CSV file to learn from"
                raise Problem(ProblemCode.INVALID_TRAINING, detail)
            upload.check_fields()
            yield upload

    def _requested(self, upload: Upload, model: str, *, preview: bool = False) -> TrainingRequest:
        file = upload.files.get("file")
        if file is None or not upload.client_names.get("file"):
            raise Problem(ProblemCode.INVALID_TRAINING, "choose a CSV file to learn from")
        names = (file, upload.client_names["file"])
        # A preview is no place to refuse what is still being entered.
        fields = {name: text for name, text in upload.fields.items() if name in _PREVIEWED or not preview}
        body = _body(fields)
        return training_request(model, body, self.trainings.recipes(), GENERIC_RECIPE, *names, preview=preview)

    def _schedule(self, model: str, fields: Mapping[str, str]) -> None:
        """Store the schedule of the form, if it has one: of a file that the server has, else of the prediction log."""
        cron, path = (fields.get(name, "").strip() for name in ("cron", "data.path"))
        if cron or path:
            body = {**_body(fields), "data": {"path": path} if path else OUTCOMES}
            if len(json.dumps(body)) > SCHEDULE_BODY.bytes:
                detail = (
                    f"with a schedule, the choices of columns may not be longer than {SCHEDULE_BODY.bytes // 1024} KB"
                )
                raise Problem(ProblemCode.INVALID_TRAINING, detail)
            request = training_request(model, body, self.trainings.recipes(), GENERIC_RECIPE)
            self.trainings.put_schedule(model, cron, request)
            current().further_action = "set_schedule"


def _body(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the body that the form asks for. What is empty is left out, and what is no JSON is sent as text, so that
    the HTTP interface refuses it by its name."""
    entered = {name: stripped for name, text in fields.items() if (stripped := text.strip())}
    plain = fields_of_form({name: text for name, text in entered.items() if name in _PLAIN})
    body: dict[str, Any] = {"recipe": GENERIC_RECIPE, **plain}
    for name, text in entered.items():
        if name.startswith(_NESTED):
            # The name of a parameter may have a point.
            *outer, last = name.split(".", 1 if name.startswith(_PARAMETERS) else -1)
            members = body
            for key in outer:
                members = members.setdefault(key, {})
            members[last] = _value(text)
    return body


def _value(text: str) -> object:
    try:
        return native.json_value(text.encode())
    except MalformedBody:
        return text


def _choices(manifest: ModelManifest, columns: Sequence[str]) -> dict[str, str]:
    """Return the fields of the form that ask for the target, the id and the kinds of a version."""
    chosen = {"target": manifest.training_data.target, "id_field": manifest.signature.id_field}
    inputs = [field for field in manifest.signature.inputs if field.name in columns and field.name != chosen["target"]]
    kinds = {field.name: name_of_kind(field.kind, field.format) for field in inputs}
    return {
        **{name: column for name, column in chosen.items() if column and column in columns},
        **({"kinds": json.dumps(kinds)} if kinds else {}),
    }


def _not_shown(preview: TrainingPreview, training: TrainingRequest) -> dict[str, Any]:
    """Return what was inferred of the columns that the page does not show, so that a change to the others keeps it."""
    columns = preview.columns[MOST_SHOWN:]
    return {
        "features": [column.name for column in columns if column.use is ColumnUse.FEATURE],
        "kinds": {column.name: training.kinds[column.name] for column in columns if column.name in training.kinds},
    }


def _note_model(model: str) -> None:
    """Note the model for the audit log, as if the path named it. It is no request to the model."""
    current().arguments = {"name": model}


def _name_of(file: str) -> str:
    """Return a name for the model, made from the name of its file; '' if that has no usable characters."""
    name = re.sub(r"[^a-z0-9_-]+", "-", file.lower().rpartition(".")[0] or file.lower()).strip("-_")[:64]
    return name if valid_name(name) else ""

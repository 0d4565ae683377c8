"""Training from a CSV file: first its columns as the training will understand them, then the job."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, request

from contract.repository import valid_name
from contract.training import GENERIC_RECIPE, KINDS, ColumnUse, TrainingPreview, TrainingRequest
from gateway.exchange import caller, current
from gateway.forms import Upload, receive
from gateway.media_types import MULTIPART
from gateway.pages.layout import blueprint_of_pages, page, see
from gateway.problems import Problem
from gateway.protocols.training_requests import check_file, fields_of_form, training_request
from gateway.rules import SMALL_BODY, BodyLimit, Level
from gateway.serving.models import check_new_name
from gateway.serving.spool import Spool
from gateway.serving.training import Trainings
from gateway.sessions import PATH

_OPTIONAL = ("target", "id_field", "kinds", "features", "notes")


@dataclass(frozen=True)
class TrainingPages:
    """`fields`: the limit of a form's fields."""

    trainings: Trainings
    spool: Spool
    fields: BodyLimit

    def blueprint(self) -> Blueprint:
        routes = blueprint_of_pages("training")

        @routes.get("/train", level=Level.TRAIN, page=True)
        def form() -> Response:
            self.trainings.recipes()  # without a trainer, the visitor learns it before choosing a file
            return _form({"model": request.args.get("model", "")})

        @routes.post("/train/preview", level=Level.TRAIN, page=True, audit="preview_training")
        def preview() -> Response:
            with self._received() as upload:
                given = {name: upload.fields.get(name, "").strip() for name in ("model", *_OPTIONAL)}
                model = given["model"] if valid_name(given["model"]) else "preview"
                _note_model(model)
                asked = self._asked(upload, model, preview=True)
                found = self.trainings.preview(asked)
                self.spool.discard(upload.files.values())
                given["model"] = given["model"] or _name_of(upload.client_names.get("file", ""))
                return _form(given, found, asked)

        @routes.post("/train", level=Level.TRAIN, page=True, audit="train")
        def train() -> Response:
            with self._received() as upload:
                model = upload.fields.get("model", "").strip()
                check_new_name(model)
                if not caller().may_use(model):
                    raise Problem(403, "missing_scope", f"this key may not train a model named {model!r}")
                _note_model(model)
                job = self.trainings.submit(self._asked(upload, model))
            current().job_id = job.id
            target = f"{PATH}/jobs/{job.id}"
            # A redirect alone would make htmx load the next page into this one.
            return Response(status=204, headers={"HX-Redirect": target}) if _by_htmx() else see(target)

        return routes

    @contextmanager
    def _received(self) -> Iterator[Upload]:
        """Yield the form. Its file is deleted if the block raises."""
        if request.mimetype != MULTIPART:
            raise Problem(422, "invalid_training", "choose a CSV file to learn from")
        upload = receive(request.environ, self.spool, self.fields.bytes)
        try:
            _check_parts(upload)
            yield upload
        except BaseException:
            self.spool.discard(upload.files.values())
            raise

    def _asked(self, upload: Upload, model: str, *, preview: bool = False) -> TrainingRequest:
        given = {name: text for name in _OPTIONAL if (text := upload.fields.get(name, "").strip())}
        file = upload.files.get("file")
        if file is None or not upload.client_names.get("file"):
            raise Problem(422, "invalid_training", "choose a CSV file to learn from")
        body = {"recipe": GENERIC_RECIPE, **fields_of_form(given)}
        asked = training_request(
            model,
            body,
            self.trainings.recipes(),
            GENERIC_RECIPE,
            file,
            upload.client_names["file"],
            preview=preview,
        )
        with self.spool.open(file) as opened:
            check_file(asked, opened)
        return asked


def _form(
    given: Mapping[str, Any], preview: TrainingPreview | None = None, asked: TrainingRequest | None = None
) -> Response:
    return page(
        "train.html",
        title="Train a model",
        given=given,
        preview=preview,
        asked=asked,
        kinds=list(KINDS),
        uses=ColumnUse,
    )


def _check_parts(upload: Upload) -> None:
    """Raise `Problem` for files that nobody would delete, and for fields larger than the same request in JSON."""
    if not set(upload.files) <= {"file"}:
        raise Problem(422, "invalid_training", "the form has several files; choose one CSV file to learn from")
    if sum(map(len, upload.fields.values())) > SMALL_BODY.bytes:
        raise Problem(413, "body_too_large", f"the fields of the form are larger than {SMALL_BODY.bytes // 1024} KB")


def _note_model(model: str) -> None:
    """Note the model for the audit log, as if the path named it. It is no request to the model."""
    current().arguments = {"name": model}


def _by_htmx() -> bool:
    return "HTTP_HX_REQUEST" in request.environ


def _name_of(file: str) -> str:
    """Return a name for the model, made from the name of its file; '' if that has no usable characters."""
    name = re.sub(r"[^a-z0-9_-]+", "-", file.lower().rpartition(".")[0] or file.lower()).strip("-_")[:64]
    return name if valid_name(name) else ""

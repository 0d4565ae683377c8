"""The JSON schemas that routes name in their documentation."""

from __future__ import annotations

from collections.abc import Mapping

from broker.access.audit_log import FIELDS as AUDIT_FIELDS
from broker.access.audit_log import Outcome
from broker.records.job_kinds import readable_kinds
from broker.state.webhook_store import EVENTS
from contract.model.signature import AnswerForm, Kind, OutputKind, RowFormat
from contract.work.jobs import Status
from contract.work.webhooks import NAME as WEBHOOK
from contract.work.webhooks import WEB_ADDRESS, Format
from gateway.http.operations import FILE, MOMENT, TEXT, Schema, matching
from gateway.openapi.experiment_schemas import EXPERIMENTS
from gateway.openapi.foreign_schemas import FOREIGN
from gateway.openapi.key_schemas import KEYS
from gateway.openapi.lake_schemas import LAKE_SCHEDULES
from gateway.openapi.log_schemas import LOG
from gateway.openapi.model_schemas import ALIASES, CHANGES, ENVIRONMENT
from gateway.openapi.schema_parts import (
    ALIAS,
    ANYTHING,
    BOOLEAN,
    ENVIRONMENT_NAME,
    INTEGER,
    MODEL_NAME,
    NUMBER,
    OBJECT,
    OWNER,
    REFERENCE,
    VERSION,
    VERSION_OR_ALIAS,
    array,
    map_of,
    nullable,
    page_of,
    record,
    ref,
    text,
)
from gateway.openapi.system_schemas import SYSTEM
from gateway.openapi.traffic_schemas import TRAFFIC
from gateway.openapi.training_schemas import TRAININGS
from gateway.protocols.training_requests import MAX_NOTES
from gateway.serving.job_access import JOB_ID

FIELD_ERROR = record({"row": nullable(INTEGER), "field": nullable(TEXT), "code": TEXT, "message": TEXT})
FAILURE = record({"code": TEXT, "message": TEXT, "details": OBJECT})
PROBLEM = record(
    {"type": TEXT, "code": TEXT, "title": TEXT, "status": INTEGER, "detail": TEXT},
    {"errors": array(ref("FieldError"))},
    description="A problem of RFC 9457. `code` never changes its meaning; `detail` says what to do.",
)

_OUTCOME: Schema = {**TEXT, "enum": list(Outcome)}
_JOB_KINDS = [f"`{kind.name}`" for kind in readable_kinds()]
JOB_MEMBERS: Mapping[str, Schema] = {
    "id": TEXT,
    "kind": {**TEXT, "description": f"{', '.join(_JOB_KINDS[:-1])} or {_JOB_KINDS[-1]}."},
    "status": {**TEXT, "enum": list(Status)},
    "model": ref("JobModel"),
    "created_at": nullable(MOMENT),
    "started_at": nullable(MOMENT),
    "completed_at": {**nullable(MOMENT), "description": "Null until the job has ended."},
    "progress": {**nullable(ref("JsonObject")), "description": "Of a training with the `candidates` so far."},
    "output": {**nullable(ref("JsonObject")), "description": "Null unless it has succeeded."},
    "error": nullable(ref("Failure")),
    "warnings": array(TEXT),
    "metrics": nullable(ref("JsonObject")),
}
_TAKEN_BY = {
    **TEXT,
    "description": "The worker, or the host of the trainer, that took it, for keys with `read`; not of files.",
}


def job(output: Schema | None = None) -> Schema:
    """Return the schema of a job, with its `output` where that is known."""
    members = JOB_MEMBERS if output is None else {**JOB_MEMBERS, "output": nullable(output)}
    return record(members, {**OWNER, "worker": _TAKEN_BY})


_FLAGS = dict.fromkeys(("guessed", "naive", "nanoseconds", "float32"), BOOLEAN)
_INPUT = record(
    {"name": TEXT, "kind": {**TEXT, "enum": list(Kind)}, "nullable": BOOLEAN, "categories": nullable(array(TEXT))},
    {"aliases": array(TEXT), "format": nullable(TEXT), "null": TEXT, "unit": TEXT, **_FLAGS}
    | {"zone": nullable(TEXT), "words": array(TEXT)},
)
_OUTPUT = record(
    {"kind": {**TEXT, "enum": list(OutputKind)}, "labels": nullable(array(ANYTHING)), "probabilities": BOOLEAN},
    {"name": nullable(TEXT), "scores": BOOLEAN, "label_names": nullable(array(ANYTHING)), "decision": ref("Decision")},
)
_RETURNED = record({"type": TEXT, "dtypes": array(TEXT), "width": nullable(INTEGER)})
_METHOD = record(
    {"name": TEXT, "answer": {**TEXT, "enum": list(AnswerForm)}, "names": nullable(array(TEXT))},
    {"returned": nullable(ref("MethodReturn"))},
)
_VERSION = {
    "name": TEXT,
    "version": INTEGER,
    "created_at": TEXT,
    "recipe": TEXT,
    "signature": ref("Signature"),
    "metrics": OBJECT,
    "example": {**OBJECT, "description": "A body that works when posted."},
    "warnings": array(TEXT),
    "environment": ENVIRONMENT,
}
_VERSION_ITEM = record(
    {"version": INTEGER},
    {"created_at": TEXT, "recipe": TEXT, "metrics": OBJECT, "environment": ENVIRONMENT, "made_by": TEXT},
)
_RUN = {"job": TEXT, **{name: JOB_MEMBERS[name] for name in ("status", "started_at", "completed_at", "error")}}
_NEXT_AND_LAST = {"next_run": nullable(MOMENT), "last_run": nullable(ref("ScheduleRun"))}
_FORCE = {"force": {**BOOLEAN, "default": False, "description": "Move it even if no worker can load the version."}}

_EVENTS = array({**TEXT, "enum": list(EVENTS)}, minItems=1)
_TRY = record({"at": MOMENT, "status": nullable(INTEGER), "error": nullable(TEXT), "ms": NUMBER})
_FORMAT: Schema = {**TEXT, "enum": list(Format)}
_WEBHOOK: dict[str, Schema] = {
    "name": TEXT,
    "url": TEXT,
    "events": _EVENTS,
    "created_at": MOMENT,
    "models": nullable(array(TEXT)),
    "format": _FORMAT,
    "last_try": nullable(ref("DeliveryTry")),
}
_DELIVERY = record(
    {
        "id": TEXT,
        "type": TEXT,
        "url": TEXT,
        "webhook": nullable(TEXT),
        "status": {**TEXT, "enum": ["pending", "delivered", "failed"]},
        "created_at": MOMENT,
        "next_try_at": nullable(MOMENT),
        "tries": array(ref("DeliveryTry")),
    }
)


SCHEMAS: Mapping[str, Schema] = {
    "AliasMove": record({"version": VERSION}, _FORCE, additionalProperties=False),
    "AuditEntry": record({"id": TEXT, "time": MOMENT}, dict.fromkeys(AUDIT_FIELDS, ANYTHING) | {"outcome": _OUTCOME}),
    "AuditPage": page_of(ref("AuditEntry")),
    "Bytes": {**FILE, "description": "JSON, and the bytes of the tensors after it."},
    "Csv": {**FILE, "description": "Rows with a header line, as in a training file."},
    "DeletedDeliveries": record({"deleted": INTEGER}),
    "Delivery": _DELIVERY,
    "DeliveryList": record({"items": array(ref("Delivery"))}),
    "DeliveryTry": _TRY,
    "Document": OBJECT,
    "Failure": FAILURE,
    "FieldError": FIELD_ERROR,
    "FormerBody": {"description": "What the service took that had this address before."},
    "FormRow": {**map_of(TEXT), "description": "One row, a field for each input."},
    "Rows": {
        **record({"instances": array(ANYTHING, minItems=1)}),
        "description": "Rows as objects, or as lists in the order of the inputs. A list of rows alone, one row, and the"
        " other shapes of the reference are taken, too.",
    },
    "Job": job(),
    "JobEvent": record({"event": {**TEXT, "enum": ["progress", "log", "end"]}, "data": TEXT}, {"id": TEXT}),
    # No type: generated clients cannot read a stream.
    "JobEvents": {"description": "Server-sent events, each with the members of a `JobEvent`."},
    "JobModel": record({"name": TEXT, "version": nullable(INTEGER)}),
    "JsonObject": OBJECT,
    "JobPage": page_of(ref("Job")),
    "MethodReturn": _RETURNED,
    "Model": record(
        {
            **_VERSION,
            "aliases": ALIASES,
            "versions": array(INTEGER),
            "about": ref("About"),
            "settings": OBJECT,
            "ready": BOOLEAN,
        }
    ),
    "ModelList": record({"items": array(ref("ModelItem")), "models": array(TEXT)}),
    "ModelItem": record(
        {"name": TEXT, "aliases": ALIASES, "about": ref("About"), "version": INTEGER}, {"environment": ENVIRONMENT}
    ),
    "ModelUpload": record(
        {"file": FILE},
        {
            **dict.fromkeys(("sample", "code", "signature"), FILE),
            **{name: {**TEXT, "description": "JSON."} for name in ("versions", "nulls", "columns", "accept")},
            "target": {**TEXT, "description": "The column of the sample with what the model predicts; empty: none."},
            "environment": ENVIRONMENT_NAME,
            "alias": ALIAS,
            "promote": {**TEXT, "enum": ["true", "false"], "default": "true"},
            "notes": text(MAX_NOTES, 0),
        },
    ),
    "JsonLines": {**FILE, "description": "A row in each line, as JSON."},
    "ModelCard": OBJECT,
    "ModelVersion": record(_VERSION),
    "NumberOrBoolean": {"oneOf": [NUMBER, BOOLEAN]},
    "NumpyFile": {**FILE, "description": "An array of numbers, booleans or text, as `numpy.save` writes it."},
    "Nothing": {**TEXT, "description": "A line end."},
    "Predictions": record(
        {"predictions": array(ANYTHING)},
        {"probabilities": array(ANYTHING, description="By class label, a row each."), "warnings": array(TEXT)},
    ),
    "Problem": PROBLEM,
    "RecordValue": {"oneOf": [NUMBER, TEXT, BOOLEAN, array(TEXT)]},
    "Report": OBJECT,
    "Scalar": {"oneOf": [TEXT, NUMBER, BOOLEAN]},
    "Rollback": record({}, _FORCE, additionalProperties=False),
    **EXPERIMENTS,
    **FOREIGN,
    **KEYS,
    **LAKE_SCHEDULES,
    **TRAININGS,
    **LOG,
    **SYSTEM,
    **TRAFFIC,
    **CHANGES,
    "Schedule": record(
        {"model": TEXT, "cron": TEXT, "request": OBJECT, **_NEXT_AND_LAST, "alarms_wait_until": nullable(MOMENT)}, OWNER
    ),
    "ScheduleRun": record(_RUN),
    "ScheduleList": record({"items": array(ref("Schedule"))}),
    "ModelInput": _INPUT,
    "ModelMethod": _METHOD,
    "ModelOutput": _OUTPUT,
    "Signature": record(
        {
            "inputs": array(ref("ModelInput")),
            "outputs": array(ref("ModelOutput")),
            "methods": array(ref("ModelMethod")),
        },
        {"id_field": nullable(TEXT), "format": {**TEXT, "enum": list(RowFormat)}, "output": ref("ModelOutput")},
    ),
    "SignatureEdit": record(
        {"from": ref("VersionOrAlias"), "signature": OBJECT},
        additionalProperties=False,
        description="`from`: the number or an alias of a version. `signature`: what is to change.",
    ),
    "Text": TEXT,
    "VersionItem": _VERSION_ITEM,
    "VersionList": record({"items": array(ref("VersionItem"))}),
    "VersionOrAlias": {"oneOf": [VERSION, MODEL_NAME], "description": "The number of a version, or an alias."},
    "WaitingDeliveries": record({"items": array(ref("WaitingOwner"))}),
    "WaitingOwner": record({"owner": TEXT, "waiting": INTEGER}),
    "Webhook": record(_WEBHOOK, {"owner": TEXT}),
    "WebhookList": record({"items": array(ref("Webhook"))}),
    "WebhookRequest": record(
        {"url": {**matching(WEB_ADDRESS), "format": "uri"}, "events": _EVENTS},
        {
            "models": array(MODEL_NAME, minItems=1, description="By default all that the key may use."),
            "format": _FORMAT,
        },
        additionalProperties=False,
    ),
}
"""The schemas by name."""

PATH_PARAMETERS: Mapping[str, tuple[str, str, Schema]] = {
    "asset": ("asset", "The name of the file.", TEXT),
    "alias": ("alias", "An alias, such as `current`.", ALIAS),
    "experiment": ("id", "The id of an experiment.", TEXT),
    "job_id": ("id", "The id of a job.", matching(JOB_ID)),
    "key_id": ("id", "The id of a key.", TEXT),
    "method": ("method", "A method of the estimator that the signature of the model lists.", TEXT),
    "name": ("name", "The name of a model, without a version.", MODEL_NAME),
    "promotion": ("promotion", "The id of a request to promote.", TEXT),
    "reference": ("model", "A model: `loan`, `loan@3` (a version) or `loan@canary` (an alias).", REFERENCE),
    "verb": ("verb", "How answers would come.", TEXT),
    "version": ("version", "The number of a version, or an alias.", VERSION_OR_ALIAS),
    "webhook": ("name", "The name of a webhook.", matching(WEBHOOK)),
}
"""The variables of paths: the name in the document, what it is, and its schema."""

"""The JSON schemas that routes name in their documentation."""

from __future__ import annotations

from collections.abc import Mapping

from broker.access.audit_log import FIELDS as AUDIT_FIELDS
from broker.access.audit_log import Outcome
from broker.records.job_kinds import readable_kinds
from broker.state.webhook_store import EVENTS
from contract.model.signature import AnswerForm, Kind, OutputKind, RowFormat
from contract.work.api_keys import Detail, Limits, Scope
from contract.work.jobs import Status
from contract.work.webhooks import Format
from gateway.http.operations import MOMENT, TEXT, Schema
from gateway.openapi.experiment_schemas import EXPERIMENTS
from gateway.openapi.foreign_schemas import FOREIGN
from gateway.openapi.lake_schemas import LAKE_SCHEDULES
from gateway.openapi.log_schemas import LOG
from gateway.openapi.model_schemas import ALIASES, CHANGES, DECISION, ENVIRONMENT
from gateway.openapi.schema_parts import (
    ANYTHING,
    BOOLEAN,
    DURATION,
    FILE,
    INTEGER,
    MODEL_NAME,
    NUMBER,
    OBJECT,
    OWNER,
    SCALAR,
    VERSION,
    array,
    map_of,
    nullable,
    page_of,
    record,
    ref,
)
from gateway.openapi.traffic_schemas import TRAFFIC
from gateway.openapi.training_schemas import TRAININGS
from gateway.serving.readiness import State

FIELD_ERROR = record({"row": nullable(INTEGER), "field": nullable(TEXT), "code": TEXT, "message": TEXT})
FAILURE = record({"code": TEXT, "message": TEXT, "details": OBJECT})
PROBLEM = record(
    {"type": TEXT, "code": TEXT, "title": TEXT, "status": INTEGER, "detail": TEXT},
    {"errors": array(ref("FieldError"))},
    description="A problem of RFC 9457. `code` never changes its meaning; `detail` says what to do.",
)

_JOB_KINDS = [f"`{kind.name}`" for kind in readable_kinds()]
JOB_MEMBERS: Mapping[str, Schema] = {
    "id": TEXT,
    "kind": {**TEXT, "description": f"{', '.join(_JOB_KINDS[:-1])} or {_JOB_KINDS[-1]}."},
    "status": {**TEXT, "enum": list(Status)},
    "model": record({"name": TEXT, "version": nullable(INTEGER)}),
    "created_at": nullable(MOMENT),
    "started_at": nullable(MOMENT),
    "completed_at": {**nullable(MOMENT), "description": "Null until the job has ended."},
    "progress": {**nullable(OBJECT), "description": "Of a training with the `candidates` so far."},
    "output": {**nullable(OBJECT), "description": "Null unless it has succeeded."},
    "error": nullable(ref("Failure")),
    "warnings": array(TEXT),
    "metrics": nullable(OBJECT),
}
_TAKEN_BY = {
    **TEXT,
    "description": "The worker, or the host of the trainer, that took it, for keys with `read`; not of files.",
}


def job(output: Schema | None = None) -> Schema:
    """Return the schema of a job, with its `output` where that is known."""
    members = JOB_MEMBERS if output is None else {**JOB_MEMBERS, "output": nullable(output)}
    return record(members, {**OWNER, "worker": _TAKEN_BY})


_KEY = {
    "id": TEXT,
    "name": TEXT,
    "owner": TEXT,
    "scopes": array({**TEXT, "enum": list(Scope)}),
    "models": nullable(array(TEXT)),
    "limits": ref("Limits"),
    "detail": {**TEXT, "enum": list(Detail)},
    "created_at": TEXT,
    "expires_at": nullable(MOMENT),
    "last_used_at": nullable(MOMENT),
    "previous_secret": nullable(OBJECT),
    "user": nullable(TEXT),
    "warnings": array(TEXT),
    "use": ref("KeyUse"),
}
_USE = {**dict.fromkeys(("requests", "errors", "rows"), INTEGER), "last_request_at": nullable(MOMENT)}
_INPUT = record(
    {"name": TEXT, "kind": {**TEXT, "enum": list(Kind)}, "nullable": BOOLEAN, "categories": nullable(array(TEXT))},
    {"aliases": array(TEXT), "format": nullable(TEXT), "guessed": BOOLEAN, "naive": BOOLEAN, "null": TEXT},
)
_OUTPUT = record(
    {"kind": {**TEXT, "enum": list(OutputKind)}, "labels": nullable(array(SCALAR)), "probabilities": BOOLEAN},
    {"name": nullable(TEXT), "scores": BOOLEAN, "label_names": nullable(array(SCALAR)), "decision": DECISION},
)
_RETURNED = record({"type": TEXT, "dtypes": array(TEXT), "width": nullable(INTEGER)})
_METHOD = record(
    {"name": TEXT, "answer": {**TEXT, "enum": list(AnswerForm)}, "names": nullable(array(TEXT))},
    {"returned": nullable(_RETURNED)},
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
_NEXT_AND_LAST = {"next_run": nullable(MOMENT), "last_run": nullable(record(_RUN))}
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
    "last_try": nullable(_TRY),
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
        "tries": array(_TRY),
    }
)


_WORKER = record(
    {
        "name": TEXT,
        "host": TEXT,
        "busy": {**INTEGER, "description": "Scorers that score."},
        "idle": {**INTEGER, "description": "Scorers that wait for jobs."},
        "models": {**nullable(array(TEXT)), "description": "Those that it serves; null: all."},
        "loaded": array(TEXT, description="Versions in the memory of all its scorers, such as `loan@3`."),
        "memory": {**nullable(record({"shared": INTEGER, "own": INTEGER})), "description": "Bytes of models."},
        "failures": array(record({"version": TEXT, "reason": TEXT, "since": TEXT})),
        "silent": {**BOOLEAN, "description": "It has reported nothing for some seconds."},
        "environment": {**TEXT, "description": "In which the versions live that it serves; empty: today's."},
        "asleep": {**BOOLEAN, "description": "It has no scorers until there is work for them."},
    }
)
_QUEUE = record(
    {
        "model": TEXT,
        **dict.fromkeys(("waiting", "rows", "running", "files_waiting", "files_running"), INTEGER),
        "oldest_seconds": NUMBER,
    }
)
_SYSTEM: Mapping[str, Schema] = {
    "status": {**TEXT, "enum": list(State)},
    "alerts": array(record({"code": TEXT, "severity": {**TEXT, "enum": ["critical", "warning"]}, "detail": TEXT})),
    "workers": array(_WORKER),
    "trainers": array(record({"host": TEXT, "queue": TEXT, "busy": BOOLEAN, "job": nullable(TEXT)})),
    "queues": array(_QUEUE, description="Those with jobs."),
    "trainer_queues": array(record({"name": TEXT, "waiting": INTEGER, "oldest_seconds": NUMBER})),
    "redis": nullable(
        record({"bytes": INTEGER, "max_bytes": nullable(INTEGER), "shares": OBJECT, "disk": nullable(BOOLEAN)})
    ),
    "spool_bytes": INTEGER,
    "webhooks_waiting": INTEGER,
}


SCHEMAS: Mapping[str, Schema] = {
    "AliasMove": record({"version": VERSION}, _FORCE, additionalProperties=False),
    "Alive": record({"status": TEXT}),
    "AuditPage": page_of(
        record(
            {"id": TEXT, "time": MOMENT}, dict.fromkeys(AUDIT_FIELDS, ANYTHING) | {"outcome": {"enum": list(Outcome)}}
        )
    ),
    "Arrow": {**TEXT, "description": "An Arrow stream, as `pyarrow.ipc.new_stream` writes it."},
    "Array": {**TEXT, "description": "An array of numbers, booleans or text, as `numpy.save` writes it."},
    "Bytes": {**TEXT, "description": "JSON, and the bytes of the tensors after it."},
    "Csv": {**TEXT, "description": "Rows with a header line, as in a training file."},
    "DeletedDeliveries": record({"deleted": INTEGER}),
    "DeliveryList": record({"items": array(_DELIVERY)}),
    "Document": OBJECT,
    "Failure": FAILURE,
    "FieldError": FIELD_ERROR,
    "FormRow": {**map_of(TEXT), "description": "One row, a field for each input."},
    "Instances": {
        "description": "Rows: a list of objects or of lists, one object, or any other dialect of the reference.",
        "anyOf": [array(OBJECT), array(array(ANYTHING)), OBJECT, array(SCALAR), TEXT],
    },
    "Job": job(),
    "JobEvent": record({"event": {**TEXT, "enum": ["progress", "log", "end"]}, "data": TEXT}, {"id": TEXT}),
    "JobPage": page_of(ref("Job")),
    "Key": record(_KEY),
    "KeyChange": record(
        {},
        {
            "scopes": array({**TEXT, "enum": list(Scope)}, minItems=1),
            "models": {**nullable(array(MODEL_NAME)), "description": "Null for all."},
            "expires": {**nullable(DURATION), "description": "As of a new key; null for never."},
            "limits": record({}, {name: nullable(INTEGER) for name in Limits.__dataclass_fields__}),
            "detail": {**TEXT, "enum": list(Detail)},
        },
        additionalProperties=False,
    ),
    "KeyList": record({"items": array(ref("Key")), "others": array(record({"name": TEXT, "use": ref("KeyUse")}))}),
    "KeyRequest": record(
        {"name": TEXT, "scopes": array({**TEXT, "enum": list(Scope)}, minItems=1)},
        {
            "owner": TEXT,
            "user": {**TEXT, "description": "A person whom a proxy signs in, or `*`; such an entry has no secret."},
            "models": array(MODEL_NAME, description="By default all."),
            "expires": DURATION,
            "limits": ref("Limits"),
            "detail": {**TEXT, "enum": list(Detail)},
        },
        additionalProperties=False,
    ),
    "KeyUse": record(
        {"days": INTEGER, **_USE, "models": array(record({"model": nullable(TEXT), **_USE, "share": NUMBER}))}
    ),
    "Limits": record({}, {name: {"type": "integer"} for name in Limits.__dataclass_fields__}),
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
    "ModelList": record(
        {
            "items": array(
                record(
                    {"name": TEXT, "aliases": ALIASES, "about": ref("About"), "version": INTEGER},
                    {"environment": ENVIRONMENT},
                )
            ),
            "models": array(TEXT),
        }
    ),
    "ModelUpload": record(
        {"file": FILE},
        {
            **dict.fromkeys(("sample", "code", "signature"), FILE),
            **dict.fromkeys(("versions", "nulls", "columns", "environment"), TEXT),
            **dict.fromkeys(("alias", "promote", "accept", "notes"), TEXT),
        },
    ),
    "ModelCard": OBJECT,
    "ModelVersion": record(_VERSION),
    "NewKey": record({**_KEY, "secret": nullable(TEXT)}),
    "Nothing": {**TEXT, "description": "A line end."},
    "Predictions": record(
        {"predictions": array(ANYTHING)},
        {"probabilities": array(ANYTHING, description="By class label, a row each."), "warnings": array(TEXT)},
    ),
    "Problem": PROBLEM,
    "Ready": record(
        {"status": {**TEXT, "enum": ["ok", "degraded"]}, "models": INTEGER, "workers": INTEGER},
        {"detail": TEXT, "reasons": array(record({"code": TEXT, "detail": TEXT})), "repairs": BOOLEAN},
    ),
    "Report": OBJECT,
    "Rollback": record({}, _FORCE, additionalProperties=False),
    "RotationRequest": record({}, {"overlap": TEXT, "expires": DURATION}, additionalProperties=False),
    **EXPERIMENTS,
    **FOREIGN,
    **LAKE_SCHEDULES,
    **TRAININGS,
    **LOG,
    **TRAFFIC,
    **CHANGES,
    "Schedule": record(
        {"model": TEXT, "cron": TEXT, "request": OBJECT, **_NEXT_AND_LAST, "alarms_wait_until": nullable(MOMENT)}, OWNER
    ),
    "ScheduleList": record({"items": array(ref("Schedule"))}),
    "Signature": record(
        {"inputs": array(_INPUT), "outputs": array(_OUTPUT), "methods": array(_METHOD)},
        {"id_field": nullable(TEXT), "format": {**TEXT, "enum": list(RowFormat)}, "output": _OUTPUT},
    ),
    "SignatureEdit": record(
        {"from": {"type": ["integer", "string"]}, "signature": OBJECT},
        additionalProperties=False,
        description="`from`: the number or an alias of a version. `signature`: what is to change.",
    ),
    "System": record(_SYSTEM),
    "Text": TEXT,
    "VersionList": record({"items": array(_VERSION_ITEM)}),
    "WaitingDeliveries": record({"items": array(record({"owner": TEXT, "waiting": INTEGER}))}),
    "Webhook": record(_WEBHOOK, {"owner": TEXT}),
    "WebhookList": record({"items": array(ref("Webhook"))}),
    "WebhookRequest": record(
        {"url": TEXT, "events": _EVENTS},
        {"models": array(MODEL_NAME, description="By default all that the key may use."), "format": _FORMAT},
        additionalProperties=False,
    ),
}
"""The schemas by name."""

PATH_PARAMETERS: Mapping[str, tuple[str, str, Schema]] = {
    "asset": ("asset", "The name of the file.", TEXT),
    "alias": ("alias", "An alias, such as `current`.", TEXT),
    "experiment": ("id", "The id of an experiment.", TEXT),
    "job_id": ("id", "The id of a job.", TEXT),
    "key_id": ("id", "The id of a key.", TEXT),
    "method": ("method", "A method of the estimator that the signature of the model lists.", TEXT),
    "name": ("name", "The name of a model, without a version.", TEXT),
    "reference": ("model", "A model: `loan`, `loan@3` (a version) or `loan@canary` (an alias).", TEXT),
    "version": ("version", "The number of a version, or an alias.", TEXT),
    "webhook": ("name", "The name of a webhook.", TEXT),
}
"""The variables of paths: the name in the document, what it is, and its schema."""

"""The JSON schemas of health and of the state of the system."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.http.operations import TEXT, Schema
from gateway.openapi.schema_parts import BOOLEAN, INTEGER, NUMBER, OBJECT, array, nullable, record, ref
from gateway.serving.readiness import State

_SYSTEM: Mapping[str, Schema] = {
    "status": {**TEXT, "enum": list(State)},
    "alerts": array(ref("Alert")),
    "workers": array(ref("Worker")),
    "trainers": array(ref("Trainer")),
    "queues": array(ref("Queue"), description="Those with jobs."),
    "trainer_queues": array(ref("TrainerQueue")),
    "redis": nullable(ref("RedisState")),
    "spool_bytes": INTEGER,
    "webhooks_waiting": INTEGER,
}

SYSTEM: Mapping[str, Schema] = {
    "Alert": record({"code": TEXT, "severity": {**TEXT, "enum": ["critical", "warning"]}, "detail": TEXT}),
    "Alive": record({"status": TEXT}),
    "LoadFailure": record({"version": TEXT, "reason": TEXT, "since": TEXT}),
    "ModelMemory": record({"shared": INTEGER, "own": INTEGER}),
    "Queue": record(
        {
            "model": TEXT,
            **dict.fromkeys(("waiting", "rows", "running", "files_waiting", "files_running"), INTEGER),
            "oldest_seconds": NUMBER,
        }
    ),
    "Ready": record(
        {"status": {**TEXT, "enum": ["ok", "degraded"]}, "models": INTEGER, "workers": INTEGER},
        {"detail": TEXT, "reasons": array(ref("Reason")), "repairs": BOOLEAN},
    ),
    "Reason": record({"code": TEXT, "detail": TEXT}),
    "RedisState": record(
        {"bytes": INTEGER, "max_bytes": nullable(INTEGER), "shares": OBJECT, "disk": nullable(BOOLEAN)}
    ),
    "System": record(_SYSTEM),
    "Trainer": record({"host": TEXT, "queue": TEXT, "busy": BOOLEAN, "job": nullable(TEXT)}),
    "TrainerQueue": record({"name": TEXT, "waiting": INTEGER, "oldest_seconds": NUMBER}),
    "Worker": record(
        {
            "name": TEXT,
            "host": TEXT,
            "busy": {**INTEGER, "description": "Scorers that score."},
            "idle": {**INTEGER, "description": "Scorers that wait for jobs."},
            "models": {**nullable(array(TEXT)), "description": "Those that it serves; null: all."},
            "loaded": array(TEXT, description="Versions in the memory of all its scorers, such as `loan@3`."),
            "memory": {**nullable(ref("ModelMemory")), "description": "Bytes of models."},
            "failures": array(ref("LoadFailure")),
            "silent": {**BOOLEAN, "description": "It has reported nothing for some seconds."},
            "environment": {**TEXT, "description": "In which the versions live that it serves; empty: today's."},
            "asleep": {**BOOLEAN, "description": "It has no scorers until there is work for them."},
        }
    ),
}

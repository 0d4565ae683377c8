"""A training promotes its version, and the audit log says so."""

from __future__ import annotations

from pathlib import Path

from redis import Redis

from broker.access.audit_log import AuditLog
from contract.model.repository import Repository
from contract.settings import Settings
from tests.support import Sum, numbers, write_version
from trainer.jobs import training_main


def test_the_promotion_of_a_training_is_in_the_audit_log(redis: Redis, redis_url: str, models: Path) -> None:
    write_version(models, "sum", Sum(), numbers("a"), current=False)
    settings = Settings(redis_url=redis_url, models_dir=models)
    remark = training_main._promote(settings, redis, "j-1", "sum", 1, "canary")
    assert remark == "moved at once: no worker is alive that serves this model"
    assert Repository(models).aliases("sum") == {"canary": 1}
    (entry,) = AuditLog(redis, settings.retention.audit_days).page({}, 10, None).items
    assert {name: entry[name] for name in ("action", "actor", "outcome", "model", "version", "alias", "job_id")} == {
        "action": "move_alias",
        "actor": "trainer",
        "outcome": "done",
        "model": "sum",
        "version": 1,
        "alias": "canary",
        "job_id": "j-1",
    }

"""A training promotes its version, and the audit log says so."""

from __future__ import annotations

from pathlib import Path

from redis import Redis

from broker.access.audit_log import AuditLog
from contract.model.experiments import ExperimentKind, ExperimentPlan
from contract.model.promotions import Person
from contract.model.repository import Repository
from contract.model.signature import Output, OutputKind
from contract.settings import Settings
from tests.support import Sum, numbers, write_version
from trainer.jobs import training_main


def test_the_promotion_of_a_training_is_in_the_audit_log(redis: Redis, redis_url: str, models: Path) -> None:
    write_version(models, "sum", Sum(), numbers("a"), current=False)
    settings = Settings(redis_url=redis_url, models_dir=models)
    remark = training_main._promote(settings, redis, "j-1", Person("ann", "ann"), "sum", 1, "canary")
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


def test_an_experiment_in_which_a_training_ends_is_in_the_audit_log(redis: Redis, redis_url: str, models: Path) -> None:
    for version in (2, 1):
        write_version(models, "sum", Sum(), numbers("a"), Output(OutputKind.CLASS, (0, 1)), version=version)
    settings, plan = Settings(redis_url=redis_url, models_dir=models), ExperimentPlan(ExperimentKind.CANARY, share=0.1)
    begun = training_main._try_out(settings, redis, "j-1", "ann", "sum", 2, plan)
    assert (begun.baseline, begun.candidate, begun.started_by) == (1, 2, "a training")
    (entry,) = AuditLog(redis, settings.retention.audit_days).page({}, 10, None).items
    assert {name: entry[name] for name in ("action", "actor", "model", "version", "job_id")} == {
        "action": "start_experiment",
        "actor": "trainer",
        "model": "sum",
        "version": 2,
        "job_id": "j-1",
    }

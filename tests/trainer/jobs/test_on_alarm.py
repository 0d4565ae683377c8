"""The trainer that schedules begins what waits for an alarm of a current version."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import Redis

from broker.records.job_kinds import TRAINING
from broker.sides.trainer import unfinished
from broker.state.boards import HealthBoard
from broker.state.schedules import Schedules
from contract.model.model_health import HealthState, ModelHealth
from contract.settings import Settings
from contract.work.training import OutcomeRows, TrainingRequest
from tests.support import SIGNER, Sum, numbers, state_dir, until, write_version
from trainer.jobs.scheduler import TrainingScheduler

RECIPE = TrainingRequest("sum", "tabular")
OUTCOMES = TrainingRequest("sum", "tabular", outcomes=OutcomeRows())
OK, DRIFTED, DEGRADED = HealthState.OK, HealthState.DRIFTED, HealthState.DEGRADED


@pytest.fixture
def settings(redis: Redis, redis_url: str, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Those of a trainer with two versions of a model, which looks at findings in each round."""
    monkeypatch.setattr("trainer.jobs.scheduler.ALARMS_EVERY", 0)
    monkeypatch.setattr("trainer.jobs.scheduler.connect", lambda *_, **__: redis)
    for version in (1, 2):
        write_version(models, "sum", Sum(), numbers("a", "b"), version=version, current=version == 1)
    return Settings(redis_url=redis_url, models_dir=models, state_dir=state_dir(tmp_path), train_on_start=())


@pytest.mark.parametrize(
    ("request_", "cron", "version", "state", "begins"),
    [
        (RECIPE, "@alarm", 1, DRIFTED, True),
        (RECIPE, "0 3 1 1 * @alarm", 1, DEGRADED, True),
        (RECIPE, "@alarm", 1, OK, False),
        (RECIPE, "@alarm", 2, DRIFTED, False),
        (RECIPE, "0 3 1 1 *", 1, DRIFTED, False),
        (OUTCOMES, "@alarm", 1, DRIFTED, False),
        (OUTCOMES, "@alarm", 1, DEGRADED, True),
    ],
)
def test_a_training_begins_when_the_current_version_is_no_longer_good(
    redis: Redis,
    settings: Settings,
    request_: TrainingRequest,
    cron: str,
    version: int,
    state: HealthState,
    begins: bool,
) -> None:
    scheduler = TrainingScheduler(settings)
    made = Schedules(redis, SIGNER, timeout=60, result_ttl=60).put("sum", cron, request_)
    findings = () if state is OK else ("a: moved",)
    HealthBoard(redis).say(f"sum@{version}", ModelHealth(state, findings, "2026-11-27T09:00:00+00:00"))
    rounds = 0

    def step() -> bool:
        nonlocal rounds
        scheduler.step()
        rounds += scheduler.leads
        return bool(unfinished(redis, TRAINING)) if begins else rounds > 3

    until(step, "it begins, or does not in some rounds")
    assert bool(unfinished(redis, TRAINING)) == begins
    assert (redis.zscore("rq:scheduled:training", made.job) is None) == begins
    scheduler.stop()

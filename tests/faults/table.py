"""The faults, and what Modelgate must say of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.faults import causes
from tests.faults.causes import Cause, frozen, killed, partitioned

DAY = 86_400


@dataclass(frozen=True)
class Fault:
    """A fault that lasts `seconds`, and what an operator must see `noticed_after` seconds: patterns of the answer
    of /health/ready (`ready`), of a log line of any service (`log`), and of a series that changed (`metric`); codes of
    /v1/system (`system`), and the `alert` that fires if it lasts for a minute."""

    name: str
    cause: Cause
    ready: str = "^200 ok$"
    log: str = ""
    metric: str = ""
    system: str = ""
    alert: str = ""
    seconds: float = 6.0
    noticed_after: float = 5.0
    predict_timeout: int = 3
    clock: bool = False
    quick: bool = False
    """Part of a short soak."""
    one_of_two: bool = False
    """It affects one of two equal processes, so some requests may contradict /health/ready."""
    refusals: Sequence[int] = ()
    """Statuses of refusals that are right, besides 503."""


OK = "^200 ok$"
NO_REDIS = "^503 Redis does not answer"
NO_WORKER = "^200 degraded: no worker is alive"
REDIS_GONE = ("redis_unavailable", "RedisDown")
FULL, DISK = ("redis_full", "Redis90Percent"), ("redis_disk_full", "AofFailing")
REDIS_UP_0 = "modelgate_redis_up 0"
NOT_LOADED = 'model_not_loaded.*"broken".* 1$'

FAULTS = (
    Fault("kill -9 of a gateway process", killed(causes.gateway_process), log="was sent SIGKILL", quick=True),
    Fault("kill -9 of the gateway's first process", killed(causes.gateway_master), log="listening"),
    Fault("a gateway process is frozen", frozen(causes.gateway_process), one_of_two=True),
    Fault("the gateway's first process is frozen", frozen(causes.gateway_master)),
    Fault("kill -9 of a scorer", killed(causes.scorer), log="scorer .* died", quick=True),
    Fault("a scorer is frozen", frozen(causes.scorer), one_of_two=True, seconds=8),
    Fault("kill -9 of the template", killed(causes.template), log="the template ended"),
    Fault("the template is frozen", frozen(causes.template)),
    Fault("kill -9 of the worker's supervisor", killed(causes.supervisor), log="worker: serving the models"),
    Fault("the worker's supervisor is frozen", frozen(causes.supervisor), seconds=14),
    Fault(
        "the whole worker is frozen",
        frozen(causes.whole_worker),
        "^200 degraded: ",
        metric="modelgate_workers 0",
        system="worker_silent|no_worker",
        alert="NoWorker",
        seconds=16,
        noticed_after=14,
    ),
    Fault("kill -9 of the whole worker", killed(causes.whole_worker), log="worker: serving the models"),
    Fault(
        "the only worker is stopped",
        causes.no_worker,
        NO_WORKER,
        metric="modelgate_workers 0",
        system="no_worker",
        alert="NoWorker",
        quick=True,
    ),
    Fault(
        "one of two gateways is stopped",
        causes.no_second_gateway,
        metric='alive{kind="gateways"} 1',
        system="missing_gateways",
        alert="Missing",
        seconds=18,
        noticed_after=16,
    ),
    Fault("kill -9 of the trainer", killed(causes.trainer), log="trainer: ready"),
    Fault(
        "the trainer is stopped",
        causes.no_trainer,
        metric='alive{kind="trainers"} 0',
        system="missing_trainers",
        alert="Missing",
        seconds=16,
        noticed_after=14,
    ),
    Fault(
        "the trainer is frozen",
        causes.trainer_frozen,
        log="no trainer",
        metric='alive{kind="trainers"} 0',
        system="missing_trainers",
        alert="Missing",
        seconds=16,
        noticed_after=14,
    ),
    Fault(
        "kill -9 of Redis, away for 6 s",
        causes.redis_killed,
        NO_REDIS,
        "lost Redis",
        REDIS_UP_0,
        "redis_unavailable",
        "RedisDown",
        quick=True,
    ),
    Fault("Redis is restarted", causes.redis_restarted),
    Fault("Redis is frozen", frozen(causes.redis), NO_REDIS, "Redis: TimeoutError", REDIS_UP_0, *REDIS_GONE),
    Fault("Redis is full", causes.redis_full, "^503 .*full", "redis_full", 'code="redis_full"', *FULL, quick=True),
    Fault("Redis' disk is full", causes.disk_full, "^503 .*disk", "disk", "aof_write_ok 0", *DISK, quick=True),
    Fault("Redis is lost and restored from a copy", causes.restored),
    Fault("Redis forgets its scripts", causes.scripts_lost),
    Fault("Redis closes all connections", causes.connections_lost),
    Fault(
        "no network between gateway and Redis",
        partitioned("gateway"),
        NO_REDIS,
        "TimeoutError",
        REDIS_UP_0,
        *REDIS_GONE,
    ),
    Fault(
        "no network between worker and Redis",
        partitioned("worker"),
        "^200 degraded: ",
        "lost Redis",
        "modelgate_workers 0",
        "worker_silent|no_worker",
        "NoWorker",
        seconds=16,
        noticed_after=14,
    ),
    Fault("the clock is a day ahead", causes.clock_set(DAY), clock=True),
    Fault("the clock is a day behind", causes.clock_set(-DAY), clock=True),
    Fault(
        "a row that ends its scorer",
        causes.poison_row,
        OK,
        "scorer .* died",
        "modelgate_deaths_total",
        alert="ScorersDying",
        quick=True,
    ),
    Fault(
        "a version that cannot be loaded",
        causes.broken_model,
        "^200 degraded.*broken",
        "'broken'|broken@1",
        NOT_LOADED,
        "model_not_loaded",
        "ModelNotLoaded",
    ),
    Fault(
        "the model repository is gone",
        causes.no_repository,
        "^503 .*repository",
        "",
        "modelgate_models 0",
        "no_model",
        "NoModel",
        refusals=(404,),
    ),
    Fault(
        "a model hangs",
        causes.hanging_model,
        metric="running_oldest_seconds.*fast",
        system="model_hangs",
        alert="ModelHangs",
        seconds=16,
        noticed_after=14,
        predict_timeout=25,
        one_of_two=True,
    ),
)

"""The faults, and what Modelgate must say of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.qa.faults import causes
from tests.qa.faults.causes import Cause, Which, frozen, killed, partitioned

DAY = 86_400


@dataclass(frozen=True)
class Fault:
    """A fault that lasts at least `seconds`, and what an operator must see within a minute: patterns of the answer of
    /health/ready (`ready`), of a code of /v1/system (`system`), of a series that changed (`metric`), of an alert that
    fires if it lasts (`alert`), and of a log line of any service (`log`). `silent`: why the others show nothing.
    `also`: alerts that it explains as well."""

    name: str
    cause: Cause
    ready: str = ""
    log: str = ""
    metric: str = ""
    system: str = ""
    alert: str = ""
    silent: str = ""
    also: str = ""
    seconds: float = 6.0
    predict_timeout: int = 3
    clock: bool = False
    quick: bool = False
    """Part of a short soak."""
    one_of_two: bool = False
    """It affects one of two equal processes, so some requests may contradict /health/ready."""
    refusals: Sequence[int] = ()
    """Statuses of refusals that are right, besides 503."""

    @property
    def signs(self) -> dict[str, str]:
        """The patterns, by where they must be seen."""
        signs = {where: getattr(self, where) for where in ("ready", "system", "metric", "alert", "log")}
        return {where: pattern for where, pattern in signs.items() if pattern}


BACK = "restarted at once"
HARMLESS = "no effect"
OTHERS = "ok: others do the work"
REPAIRED = "repaired in the same request"

NO_REDIS = "^503 Redis does not answer"
NO_WORKER = "^200 degraded: no worker is alive"
REDIS_GONE = ("redis_unavailable", "RedisDown")
FULL, DISK = ("redis_full", "Redis90Percent"), ("redis_disk_full", "AofFailing")
REDIS_UP_0 = "modelgate_redis_up 0"
HELD = "ModelHangs"
"""The alert about jobs that a frozen scorer holds."""
NOT_LOADED = 'model_not_loaded.*"broken".* 1$'


def stuck(name: str, which: Which, process: str, also: str = "") -> Fault:
    """A fault of a process that others find stuck after ten seconds."""
    return Fault(
        name,
        frozen(which),
        f"^200 degraded: {process}",
        f"degraded: {process}",
        "stuck_processes 1",
        "process_stuck",
        "ProcessStuck",
        also=also,
        one_of_two=True,
    )


FAULTS = (
    Fault(
        "kill -9 of a gateway process", killed(causes.gateway_process), log="was sent SIGKILL", silent=BACK, quick=True
    ),
    Fault("kill -9 of the gateway's first process", killed(causes.gateway_master), log="listening", silent=BACK),
    stuck("a gateway process is frozen", causes.gateway_process, "a process of the gateway"),
    stuck("the gateway's first process is frozen", causes.gateway_master, "the first process of the gateway"),
    Fault("kill -9 of a scorer", killed(causes.scorer), log="scorer .* died", silent=BACK, quick=True),
    stuck("a scorer is frozen", causes.scorer, "the scorer ", HELD),
    Fault("kill -9 of the template", killed(causes.template), log="the template ended", silent=BACK),
    stuck("the template is frozen", causes.template, "the template "),
    Fault("kill -9 of the worker's supervisor", killed(causes.supervisor), log="worker: serving the", silent=BACK),
    Fault(
        "the worker's supervisor is frozen",
        frozen(causes.supervisor),
        "^200 degraded: the worker",
        "degraded: the worker",
        "modelgate_workers 0",
        "worker_silent|no_worker",
        "NoWorker",
        also="Missing",
    ),
    Fault(
        "the whole worker is frozen",
        frozen(causes.whole_worker),
        "^200 degraded: ",
        "degraded: ",
        "modelgate_workers 0",
        "worker_silent|no_worker",
        "NoWorker",
        also="Missing",
    ),
    Fault("kill -9 of the whole worker", killed(causes.whole_worker), log="worker: serving the models", silent=BACK),
    Fault(
        "the only worker is stopped",
        causes.no_worker,
        NO_WORKER,
        "degraded: no worker",
        "modelgate_workers 0",
        "no_worker",
        "NoWorker",
        also="Missing",
        quick=True,
    ),
    Fault(
        "one of two gateways is stopped",
        causes.no_second_gateway,
        log="gateway: .*stopped",
        metric='alive{kind="gateways"} 1',
        system="missing_gateways",
        alert="Missing",
        silent=OTHERS,
    ),
    Fault("kill -9 of the trainer", killed(causes.trainer), log="trainer: ready", silent=BACK),
    Fault(
        "the trainer is stopped",
        causes.no_trainer,
        log="trainer: .*stopped",
        metric='alive{kind="trainers"} 0',
        system="missing_trainers",
        alert="Missing",
        silent="ok: predictions go on",
    ),
    Fault(
        "the trainer is frozen",
        causes.trainer_frozen,
        log="no trainer",
        metric='alive{kind="trainers"} 0',
        system="missing_trainers",
        alert="Missing",
        silent="ok: predictions go on",
    ),
    Fault(
        "kill -9 of Redis, away for 6 s",
        causes.redis_killed,
        NO_REDIS,
        "lost Redis",
        REDIS_UP_0,
        *REDIS_GONE,
        quick=True,
    ),
    Fault("Redis is restarted", causes.redis_restarted, log="redis: .*[Rr]eady to accept", silent=BACK),
    Fault("Redis is frozen", frozen(causes.redis), NO_REDIS, "Redis: TimeoutError", REDIS_UP_0, *REDIS_GONE),
    Fault("Redis is full", causes.redis_full, "^503 .*full", "redis_full", 'code="redis_full"', *FULL, quick=True),
    Fault("Redis' disk is full", causes.disk_full, "^503 .*disk", "disk", "aof_write_ok 0", *DISK, quick=True),
    Fault("Redis is lost and restored from a copy", causes.restored, log="redis: .*[Rr]eady to accept", silent=BACK),
    Fault("Redis forgets its scripts", causes.scripts_lost, silent=REPAIRED),
    Fault("Redis closes all connections", causes.connections_lost, silent=REPAIRED),
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
        also="Missing",
    ),
    Fault("the clock is a day ahead", causes.clock_set(DAY), silent=HARMLESS, clock=True),
    Fault("the clock is a day behind", causes.clock_set(-DAY), silent=HARMLESS, clock=True),
    Fault(
        "a row that ends its scorer",
        causes.poison_row,
        log="scorer .* died",
        metric="modelgate_deaths_total",
        alert="ScorersDying",
        silent="over in a second; the job says why it failed",
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
        also="CurrentNotLoaded",
    ),
    Fault(
        "the model repository is gone",
        causes.no_repository,
        "^503 .*repository",
        "not_ready: .*repository",
        "modelgate_models 0",
        "no_model",
        "NoModel",
        refusals=(404,),
    ),
    Fault(
        "a model hangs",
        causes.hanging_model,
        metric=r'running_oldest_seconds{model="fast"} \d\d',
        system="model_hangs",
        alert="ModelHangs",
        silent="others do the work, until its row times out",
        predict_timeout=25,
        one_of_two=True,
    ),
)

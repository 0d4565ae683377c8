"""Every metric, once: name, type, labels, unit and help. `/metrics` and the documentation are made from this table."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from enum import StrEnum

PREFIX = "modelgate_"

COUNTS = "mg:counts:"
"""The prefix of the hashes that hold counters and histograms."""
MODEL_COUNTS = f"{COUNTS}model:"
"""The prefix of the hashes of one model each."""
TRAFFIC = "mg:traffic:"
"""The prefix of the rings with the traffic of the last 30 days (`broker.metrics.traffic`)."""
TRAFFIC_STEPS = (60, 900, 21_600)
"""Seconds of a point of each ring."""
NEWEST_VERSIONS = 5
"""The newest versions of a model for which counters are kept. With more, the hash of a busy model could have 128
fields; then Redis stores it as a table."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SHORT = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30)
_OF_A_MODEL = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
"""Few: each model has them."""
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 10_000)
_LOADING = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300)


class Type(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class CountedBy(StrEnum):
    """Who adds to a counter. Each has a hash of its own (`broker/acl`)."""

    GATEWAY = "gateway"
    WORKER = "worker"
    EVENTS = "events"
    SCRIPTS = "jobs"
    """The scripts that move jobs, on behalf of any process."""


@dataclass(frozen=True, eq=False)
class Metric:
    """One metric.

    `counted_by` adds to it in Redis; None: it is read when somebody asks. The values of one with the label `model` are
    in a hash a model. `buckets` are the upper bounds of a histogram. A process that counts for a version counts for its
    model, too: in `of_model`.
    """

    name: str
    type: Type
    help: str
    labels: tuple[str, ...] = ()
    counted_by: CountedBy | None = None
    buckets: tuple[float, ...] = ()
    of_model: Metric | None = None

    @functools.cached_property
    def unit(self) -> str:
        """The unit in its name, or ''."""
        return next((word for word in self.name.split("_") if word in ("seconds", "bytes", "rows")), "")

    @functools.cached_property
    def scale(self) -> int:
        """The factor from `unit` to the whole numbers in Redis: seconds are counted in microseconds."""
        return 1_000_000 if self.unit == "seconds" else 1

    @property
    def by_model(self) -> bool:
        return "model" in self.labels

    def key(self, labels: tuple[str, ...]) -> str:
        """Return the hash that holds the value with these labels."""
        return MODEL_COUNTS + labels[self.labels.index("model")] if self.by_model else f"{COUNTS}{self.counted_by}"

    def field(self, labels: tuple[str, ...], part: str = "") -> str:
        """Return the field of that hash; `part`: the position of a bucket, or `sum`. Only the first label
        besides `model` may have a `|`."""
        values = (value for name, value in zip(self.labels, labels, strict=True) if name != "model")
        return "|".join([self.name.removeprefix(PREFIX), *values, *([part] if part else [])])


def _by_version(of_model: Metric, name: str, help_text: str) -> Metric:
    labels = ("model", "version", *of_model.labels[1:])
    return replace(of_model, name=PREFIX + name, help=help_text, labels=labels, of_model=of_model)


def _counter(counted_by: CountedBy, name: str, help_text: str, *labels: str) -> Metric:
    return Metric(f"{PREFIX}{name}_total", Type.COUNTER, help_text, labels, counted_by)


def _histogram(counted_by: CountedBy, name: str, help_text: str, *labels: str, buckets: tuple[float, ...]) -> Metric:
    return Metric(f"{PREFIX}{name}", Type.HISTOGRAM, help_text, labels, counted_by, buckets)


def _gauge(name: str, help_text: str, *labels: str) -> Metric:
    return Metric(PREFIX + name, Type.GAUGE, help_text, labels)


REQUESTS = _counter(
    CountedBy.GATEWAY,
    "requests",
    "Answered requests, by declared route, method and status.",
    *("route", "method", "status"),
)
REQUEST_SECONDS = _histogram(
    CountedBy.GATEWAY,
    "request_seconds",
    "Time from the head of a request to the head of its answer, including the wait for a result.",
    "route",
    buckets=_SECONDS,
)
GATEWAY_SECONDS = _histogram(
    CountedBy.GATEWAY,
    "gateway_seconds",
    "Time from the head of a prediction request until its job is in Redis.",
    buckets=_SHORT,
)
MODEL_REQUESTS = _counter(
    CountedBy.GATEWAY,
    "model_requests",
    "Requests for predictions, by model and outcome: answered, or refused with a status of 400 or above.",
    *("model", "outcome"),
)
MODEL_SECONDS = _histogram(
    CountedBy.GATEWAY,
    "model_seconds",
    "Time from the head of a request to the head of the answer with its predictions, by model.",
    "model",
    buckets=_OF_A_MODEL,
)
REQUESTS_BY_VERSION = _by_version(
    MODEL_REQUESTS,
    "model_requests_by_version_total",
    "Requests for predictions as in modelgate_model_requests_total, by version, too.",
)
SECONDS_BY_VERSION = _by_version(
    MODEL_SECONDS, "model_seconds_by_version", "Time as in modelgate_model_seconds, by version, too."
)
REFUSALS = _counter(CountedBy.GATEWAY, "refusals", "Answers with an error, by its code.", "code")
REFUSED_FIELDS = _counter(
    CountedBy.GATEWAY,
    "refused_fields",
    "Requests for predictions that were refused because of a field: by model, field ('' for one that the model does not"
    " have) and owner of the key.",
    *("model", "field", "owner"),
)
UPLOADS = _counter(CountedBy.GATEWAY, "uploads", "Files that were received completely.")
UPLOAD_BYTES = _counter(CountedBy.GATEWAY, "upload_bytes", "Bytes of the files that were received completely.")

QUEUE_SECONDS = _histogram(
    CountedBy.SCRIPTS,
    "queue_seconds",
    "Time from the acceptance of a prediction to its last start.",
    buckets=_SECONDS,
)
JOBS = _counter(
    CountedBy.SCRIPTS,
    "jobs",
    "Ended predictions, by model and status: succeeded, failed, canceled or expired.",
    *("model", "status"),
)
JOBS_BY_VERSION = _by_version(
    JOBS, "jobs_by_version_total", "Ended predictions as in modelgate_jobs_total, by version, too."
)
EXPLANATIONS = _counter(
    CountedBy.SCRIPTS,
    "explanations",
    "Ended explanations, by model and status: succeeded, failed, canceled or expired.",
    *("model", "status"),
)
FILES = _counter(
    CountedBy.SCRIPTS,
    "files",
    "Ended file predictions, by model and status: succeeded, failed, canceled or expired.",
    *("model", "status"),
)
REFUSED_ROWS = _counter(CountedBy.SCRIPTS, "refused_rows", "Refused rows of files, by model.", "model")
LOG_ROWS = _counter(
    CountedBy.SCRIPTS,
    "log_rows",
    "Rows for the prediction log, by model and outcome: kept; dropped, because too many waited for the observer; or"
    " unreadable (records, not rows).",
    *("model", "outcome"),
)
SHADOW_ROWS = _counter(
    CountedBy.SCRIPTS,
    "shadow_rows",
    "Rows for candidates of shadow experiments, by model and outcome: scored; or dropped, because too many waited.",
    *("model", "outcome"),
)
TRAINER_JOBS = _counter(
    CountedBy.SCRIPTS, "trainer_jobs", "Ended jobs of the trainer, by queue and status.", "queue", "status"
)
DEATHS = _counter(CountedBy.SCRIPTS, "deaths", "Scorers and trainers that died while they ran jobs, by group.", "group")
GIVEN_BACK = _counter(
    CountedBy.SCRIPTS,
    "jobs_given_back",
    "Jobs of dead or stopped processes, by what became of them: queued, failed or expired.",
    "became",
)
LEASES_LOST = _counter(CountedBy.SCRIPTS, "leases_lost", "Scorers and trainers whose lease expired, by group.", "group")

BATCHES = _counter(
    CountedBy.WORKER,
    "batches",
    "Batches, by what ended them: empty (the queue), rows or jobs (a limit), version (the next job needs another one),"
    " death (a job whose scorer died runs alone), again (the reply of Redis was lost, so the batch was sent again).",
    "left",
)
BATCH_ROWS = _histogram(CountedBy.WORKER, "batch_rows", "Rows of a batch.", buckets=_ROWS)
BATCH_SECONDS = _histogram(
    CountedBy.WORKER,
    "batch_seconds",
    "Time from taking a batch until its outcomes are in Redis.",
    buckets=_SHORT,
)
PREDICT_SECONDS = _histogram(
    CountedBy.WORKER, "predict_seconds", "Time of one call of the model, for all its rows.", buckets=_SHORT
)
ROWS = _counter(CountedBy.WORKER, "rows", "Scored rows, by model.", "model")
ROWS_BY_VERSION = _by_version(ROWS, "rows_by_version_total", "Scored rows, by model and version.")
UNUSUAL = _counter(
    CountedBy.WORKER,
    "unusual_values",
    "Inputs of predictions with a value far from what training saw, one a job and input, by model.",
    "model",
)
LOADS = _counter(
    CountedBy.WORKER, "loads", "Versions loaded from disk, by model and result: loaded or failed.", "model", "result"
)
LOAD_SECONDS = _histogram(CountedBy.WORKER, "load_seconds", "Time to load a version from disk.", buckets=_LOADING)

REDIS_UP = _gauge(
    "redis_up", "1 if Redis answers; 0: only the metrics of the model repository and the spool are there."
)
REDIS_USED = _gauge("redis_memory_bytes", "Memory that Redis uses.")
REDIS_MAX = _gauge("redis_memory_max_bytes", "Memory that Redis may use; absent without a limit.")
REDIS_SHARE = _gauge(
    "redis_share_bytes",
    "Memory of Redis by purpose, estimated from samples: jobs (waiting and running predictions); unseen, fetched and"
    " delivered (ended predictions, by how a client has seen them); trainings (with their logs); metrics; other.",
    "purpose",
)
AOF_WRITTEN = _gauge("redis_aof_write_ok", "1 if the last write to the append-only file worked; absent without one.")
AOF_REWRITTEN = _gauge(
    "redis_aof_rewrite_ok", "1 if the last rewrite of the append-only file worked; absent without one."
)
AOF_DELAYED = Metric(
    PREFIX + "redis_aof_delayed_fsyncs_total",
    Type.COUNTER,
    "Flushes of the append-only file that had to wait for the disk, since Redis started.",
)
QUEUE_JOBS = _gauge("queue_jobs", "Predictions that wait, by model.", "model")
QUEUE_ROWS = _gauge("queue_rows", "Rows of the predictions that wait, by model.", "model")
QUEUE_AGE = _gauge(
    "queue_oldest_seconds",
    "Age of the prediction that has waited longest, by model; with those of workers that have reported nothing for some"
    " seconds.",
    "model",
)
TRAINER_QUEUE_JOBS = _gauge("trainer_queue_jobs", "Jobs that wait for the trainer, by queue.", "queue")
TRAINER_QUEUE_AGE = _gauge(
    "trainer_queue_oldest_seconds", "Age of the trainer's job that has waited longest, by queue.", "queue"
)
RUNNING = _gauge("running_jobs", "Predictions that scorers own, by model.", "model")
RUNNING_AGE = _gauge(
    "running_oldest_seconds",
    "Time since a scorer took the prediction that has been running longest, by model; of many, from a sample; without"
    " those of workers that have reported nothing for some seconds.",
    "model",
)
EXPLANATION_QUEUE_JOBS = _gauge("explanation_queue_jobs", "Explanations that wait, by model.", "model")
FILE_QUEUE_JOBS = _gauge("file_queue_jobs", "File predictions that wait, by model.", "model")
FILE_QUEUE_AGE = _gauge(
    "file_queue_oldest_seconds",
    "Age of the file prediction that has waited longest for its first scorer, by model.",
    "model",
)
RUNNING_FILES = _gauge("running_files", "File predictions that have begun and not ended, by model.", "model")
SCORERS = _gauge(
    "scorers",
    "Scorers with a lease, by state: busy, idle, or extra (one in addition, while rows hang in all others of its"
    " worker).",
    "state",
)
WORKERS = _gauge("workers", "Workers with at least one scorer of today's environment.")
TRAINERS = _gauge("trainers", "Trainer processes with a lease, by state: busy or idle.", "state")
ALIVE = _gauge(
    "alive",
    "Processes that are alive, by kind: gateways, workers, trainers, observers, replicas, sentinels or senders (of"
    " webhooks).",
    "kind",
)
STUCK = _gauge("stuck_processes", "Processes of gateways and workers that make no progress.")
EXPECTED = _gauge("expected", "Processes that should be alive, by kind (EXPECTED_GATEWAYS and so on).", "kind")
MIRRORS = _gauge(
    "mirrors",
    "Mirrors of the model repository in an object store, by state: current, behind (a model is not as it is there) or"
    " away (the store does not answer).",
    "state",
)
MODELS = _gauge("models", "Models with a current version.")
VERSIONS = _gauge("model_versions", "Published versions, by model.", "model")
ALIASES = _gauge("model_alias_version", "The version that an alias names.", "model", "alias")
MODEL_MEMORY = _gauge(
    "model_memory_bytes",
    "Memory of models, by worker and part: shared (by all its scorers) or own (of single scorers).",
    *("worker", "part"),
)
NOT_LOADED = _gauge(
    "model_not_loaded", "1 for each version that a worker should have in memory and cannot load.", "model", "version"
)
TIMED_OUT = _gauge("model_timed_out", "1 for each model whose rows have timed out in the last ten minutes.", "model")
SCHEDULE_FAILED = _gauge(
    "schedule_failed",
    "1 if the last run of a model's schedule failed, or the next one is half an hour late, else 0.",
    "model",
)
MODEL_FINDINGS = _gauge(
    "model_findings",
    "What the observer has found about current versions: columns that have drifted, fields for which requests are"
    " refused, and, for a version that has degraded, that it is worse than its report promised.",
    *("model", "version", "state"),
)
LOG_WAITING = _gauge(
    "log_waiting_bytes",
    "Bytes of records of the prediction log that wait for the observer; beyond 64 MiB, rows are dropped.",
)
WEBHOOKS = _counter(
    CountedBy.EVENTS, "webhooks", "Webhooks that were delivered, or failed and were given up.", "outcome"
)
WEBHOOK_TRIES = _counter(
    CountedBy.EVENTS, "webhook_tries", "Requests to the receivers of webhooks: delivered or failed.", "outcome"
)
WEBHOOKS_WAITING = _gauge("webhooks_waiting", "Ended jobs and webhooks that wait to be sent, also for another try.")
WEBHOOKS_AGE = _gauge(
    "webhooks_late_seconds", "Time since events should have sent a webhook; one whose receiver is busy does not count."
)
DISK_FREE = _gauge(
    "disk_free_ratio",
    "Free share of the disk of models (MODELS_DIR) or spool (SPOOL_DIR; at most that of SPOOL_MB), by folder.",
    "folder",
)
KEYS_EXPIRING = _gauge("keys_expiring", "API keys that expire within 14 days, unless they were made for less.")
SPOOL = _gauge("spool_bytes", "Bytes of uploads, and of file predictions, in SPOOL_DIR.")

METRICS = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""The table."""


_HEAD = """\
# Metrics

`GET /metrics` of any gateway answers for the whole system, in Prometheus' text format. `python -m broker.metrics` makes
this page.

Counters and histograms are in Redis, so they outlive processes. What a process counts arrives there within about a
second. Each gateway process reads gauges at most once a second, and with 1,000 models every few seconds. `model` is a
model of the repository, `route` a declared route or `unknown`, `field` a field of a signature: requests add no series
but of fields that they are refused for. A model has about 500 of these; further ones count as `''`. The 1,000 oldest
models have series, each with 20 aliases. Metrics that end with `_by_version` have the five newest versions of each
model that have had requests.
While Redis cannot write to its disk, nothing says which scorers, workers and trainers are alive.
[Monitoring](../how-to/monitor.md) has the dashboard and the alerts.

| metric | type | labels | unit | what it says |
|---|---|---|---|---|
"""


def documentation() -> str:
    """Return the page of the reference about metrics."""
    return _HEAD + "".join(
        f"| `{metric.name}` | {metric.type} | {', '.join(f'`{label}`' for label in metric.labels)}"
        f" | {metric.unit} | {metric.help} |\n"
        for metric in METRICS
    )

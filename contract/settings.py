"""Every environment variable that Modelgate reads, once: name, type, default, one line of documentation."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract.errors import SettingsError
from contract.files import outlasts_container
from contract.redis_url import SentinelUrl
from contract.retention import Retention
from contract.setting_checks import (
    check_admin_key,
    check_cluster,
    check_origins,
    check_proxies,
    check_stop,
    check_targets,
    is_loopback,
    secret_of,
    with_passwords,
)
from contract.setting_fields import (
    CONTAINERS,
    ENVIRONMENTS,
    OPENTELEMETRY,
    OWN_REDIS,
    PREDICTION_LOG,
    SEVERAL_MACHINES,
    parsed,
    setting,
)

MB = 2**20
"""The bytes of one MB, in every setting."""

LOG_FORMATS = ("text", "json")
LOG_LEVELS = ("info", "debug", "warning", "error")
"""The choices of LOG_FORMAT and LOG_LEVEL; each begins with its default."""


@dataclass(frozen=True)
class Settings:
    """All settings. Entry points read them and pass them on; no other code reads the environment."""

    host: str = setting(
        "127.0.0.1", "Address the gateway listens on. Any other than loopback needs a key, or ALLOW_ANONYMOUS=1."
    )
    port: int = setting(8080, "Port the gateway listens on.", least=1, most=65535)
    allow_anonymous: bool | None = setting(
        None,
        "1: serve callers without a key, wherever they are. 0: nobody without a key, also before there is one. Empty:"
        " callers on this machine, until there is a key.",
    )
    admin_key: str = setting(
        "",
        "A key that may do everything, at least 32 characters long. With it, every request needs a key. Empty: only"
        " issued keys work.",
        secret=True,
    )
    allowed_hosts: tuple[str, ...] = setting(
        (), "Host names, besides loopback, under which the gateway answers; comma-separated."
    )
    cors_origins: tuple[str, ...] = setting(
        (),
        "Origins of web pages that may call the gateway from a browser, such as https://app.example.org;"
        " comma-separated. Empty: none.",
    )
    trusted_proxies: tuple[str, ...] = setting(
        (),
        "Addresses or networks of the proxies in front of the gateway, such as 10.0.0.7 or 10.1.0.0/16;"
        " comma-separated. The gateway reads X-Forwarded-For, -Proto and -Host only from these.",
    )
    trusted_user_header: str = setting(
        "",
        "Header in which the proxies name the person whom they have signed in, such as X-Forwarded-Email, for the pages"
        " (docs/how-to/sign-in-with-company-accounts.md). With it, every request needs a key or a person. Empty: none.",
    )
    grpc_port: int = setting(
        0,
        "Port on which a process of its own serves the Open Inference Protocol over gRPC, at the address HOST; 0: none."
        " It needs requirements/grpc.txt, and in containers GRPC=1 and the profile grpc.",
        most=65535,
    )
    gateway_processes: int = setting(2, "Processes of the gateway.", least=1)
    workers: int = setting(2, "Scorers of one worker: processes that predict.", least=1)
    expected_gateways: int = setting(
        1, "Gateways that should be alive; /v1/system says so. 2 in compose.scale.yml. With GRPC_PORT, one more is."
    )
    expected_workers: int = setting(
        1, "The same for workers. `docker compose up` starts as many, unless --scale says otherwise."
    )
    expected_trainers: int = setting(1, "The same for trainers; 0: nobody trains models or moves aliases here.")
    worker_models: tuple[str, ...] = setting((), "Models that this worker serves, comma-separated; empty: all.")
    redis_url: str = setting(
        "",
        "URL of the Redis to use, such as redis://localhost:6379/0, or of its Sentinels, such as"
        " redis+sentinel://host1:26379,host2:26379/mymaster/0; empty: `make up` starts its own.",
    )
    redis_password_file: Path | None = setting(
        None,
        "File with the password for REDIS_URL, if the URL has none, and for its Sentinels, if the URL names their user"
        " (?sentinel_username=); empty: no password.",
    )
    redis_replicas: int = setting(
        0,
        "Replicas of Redis that must have a job before the gateway answers 202: with 1 or more, jobs survive the loss"
        " of the primary. Run one replica more than that, or no job is accepted after a failover.",
        most=100,
    )
    models_dir: Path = setting(
        Path("models"), "The model repository; with MODELS_URL, the copy of it that a mirror keeps on this machine."
    )
    data_dir: Path | None = setting(None, "Folder with training data, <model>.csv; empty: none.")
    state_dir: Path = setting(
        Path(".modelgate"),
        "Folder of what gateway and trainer remember outside Redis: `closed`, which the gateway makes before the first"
        " key (while it exists every request needs one, even if Redis has lost all keys), and `shared/trainer.secret`,"
        " made by whichever starts first: the trainer obeys only what the gateway signed with it. `make up` keeps its"
        " Redis data and logs here, too.",
    )
    train_on_start: tuple[str, ...] = setting(
        ("blobs", "boston", "iris", "loan", "sepals"),
        "Recipes to train when their model is missing; none: train nothing.",
    )
    recipes_dir: Path | None = setting(None, "Folder with recipes of your own, one Python file each; empty: none.")
    routes_file: Path | None = setting(
        None,
        "File that maps addresses of old services to models, so that their clients stay as they are"
        " (docs/reference/routes-file.md); empty: none.",
    )
    spool_dir: Path = setting(
        Path(".modelgate/spool"),
        "Folder for uploads until they are used, and for files to score; gateways, workers and trainers share it.",
    )
    spool_mb: int = setting(
        8192,
        "Largest total size of all files in SPOOL_DIR, in MB; beyond, uploads get 507 and outputs fail. One upload may"
        " have an eighth of it; beyond, 413.",
        least=1,
    )
    train_timeout: int = setting(3600, "Longest training, in seconds; beyond, it fails.", least=1)
    train_memory_mb: int = setting(4096, "Memory a training may take, in MB; 0: no limit.")
    keep_days: int = setting(
        30,
        "Days for which an ended training with its log can be read, and a removed model can be restored. The audit log"
        " keeps an entry three times as long.",
        least=1,
        most=3650,
    )
    keep_versions: int = setting(10, "Versions kept of a model, besides those that an alias names.", least=1)
    warmup_timeout: int = setting(30, "Seconds for workers to load a version before its alias moves.", least=1)
    webhook_secret: str = setting(
        "",
        "Signs webhooks: whsec_ and 24 to 64 bytes in base64. Two with a blank between them, the new one first, while"
        " receivers change to it. Empty: no webhooks.",
        secret=True,
    )
    webhook_allow: tuple[str, ...] = setting(
        (),
        "Hosts, addresses and networks that webhooks may go to besides public addresses, such as hooks.internal or"
        " 10.1.0.0/16; comma-separated.",
    )
    allow_upload: str = setting(
        "0",
        "1: take models over HTTP. A pickle is a program: off is safe. local: only from programs of the user who runs"
        " the gateway, on this machine; `make up` sets this unless you set another.",
        choices=("0", "1", "local"),
    )
    pickle: str = setting("allow", "deny: load only skops artifacts, of listed types.", choices=("allow", "deny"))
    signing_key: Path | None = setting(
        None, "File with the private ed25519 key (PEM) with which the trainer signs manifests; empty: none."
    )
    verify_key: Path | None = setting(
        None, "File with the public key (PEM); with it workers refuse manifests that are not signed. Empty: none."
    )
    import_keys: Path | None = setting(
        None, "File with the public keys (PEM) that may sign files to be imported; empty: those of VERIFY_KEY."
    )
    max_body_mb: int = setting(8, "Largest request body, in MB.", least=1)
    max_queue_rows: int = setting(100_000, "Rows that may wait for one model; beyond, 503.", least=1)
    submit_timeout: int = setting(5, "Seconds the gateway tries to hand a job to Redis; then 503.", least=1)
    max_wait: int = setting(60, "Longest wait for a result within one request, in seconds.")
    batch_ms: int = setting(50, "Time that scoring one batch may take, in milliseconds.", least=1)
    predict_timeout: int = setting(30, "Longest scoring of one job, in seconds; beyond, it fails.", least=1)
    stop_grace: int = setting(20, "Seconds a stopping process has to finish what it holds.", least=1)
    stop_delay: int = setting(
        0,
        "Seconds a stopping gateway still serves while /health/live answers 503, so that a load balancer stops using it"
        " first. They are part of STOP_GRACE, at most half of it.",
    )
    result_ttl: int = setting(
        3600,
        "Seconds a finished prediction can be read, or a sixtieth of it if the result was in the response to its own"
        " request (Prefer: wait).",
        least=1,
    )
    model_cache_mb: int = setting(1024, "Memory for the models of one worker, in all its processes, in MB.", least=1)
    scorer_memory_mb: int = setting(
        4096,
        "Memory a scorer may take beyond the models it starts with, in MB; 0: no limit. Models that it loads itself"
        " take at most half of it.",
    )
    log_format: str = setting(
        LOG_FORMATS[0], "Lines of the log: text, for people, or json, one object a line.", choices=LOG_FORMATS
    )
    log_level: str = setting(LOG_LEVELS[0], "Lowest level logged: debug, info, warning or error.", choices=LOG_LEVELS)
    access_log_rate: int = setting(
        20, "Requests a second that a gateway process logs, and as many more that fail with 5xx; 0: none.", least=0
    )
    environments: str = setting(
        "",
        "auto: an import makes the environment of an older release of scikit-learn when a file needs it, which installs"
        " packages by their hashes. Empty: the operator makes them (modelgate environment make).",
        choices=("", "auto"),
        section=ENVIRONMENTS,
    )
    pool_idle: int = setting(
        600,
        "Seconds without work after which the scorers of an environment other than today's end; the next job starts"
        " them again.",
        least=1,
        section=ENVIRONMENTS,
    )
    prediction_log_dir: Path = setting(
        Path(".modelgate/log"),
        "Folder of the prediction log, which the observer writes (docs/how-to/keep-predictions.md).",
        section=PREDICTION_LOG,
    )
    prediction_log_url: str = setting(
        "",
        "Object store with a copy of the prediction log, such as s3://bucket/log, which nothing else may write: an"
        " observer whose PREDICTION_LOG_DIR is empty goes on from it. Empty: no copy.",
        section=PREDICTION_LOG,
    )
    prediction_log_gb: int = setting(
        20,
        "Largest size of the prediction log, in GB; beyond, the oldest days are removed.",
        least=1,
        section=PREDICTION_LOG,
    )
    alarm_level: float = setting(
        0.01,
        "The chance that a model ever has an alarm of drift although its rows come from the same distribution as those"
        " of its training, however long it is watched. Smaller finds a change later.",
        most=0.5,
        section=PREDICTION_LOG,
    )
    models_url: str = setting(
        "",
        "Object store with the model repository, such as s3://bucket/prefix, gs://bucket/prefix or"
        " az://container/prefix, for services on several machines; empty: MODELS_DIR is the repository.",
        section=SEVERAL_MACHINES,
    )
    spool_url: str = setting(
        "",
        "Object store with the files of users, such as s3://bucket/uploads, for services on several machines: SPOOL_DIR"
        " then has copies of what this machine works on. Empty: SPOOL_DIR has them.",
        section=SEVERAL_MACHINES,
    )
    store_options_file: Path | None = setting(
        None,
        "File with what it takes to reach the object store: a JSON object of options of obstore, such as"
        ' {"aws_access_key_id": "…", "aws_secret_access_key": "…", "aws_region": "…", "aws_endpoint": "https://…"}.'
        " Empty: the variables of the store's own tools (AWS_ACCESS_KEY_ID, …), or the identity of the machine.",
        section=SEVERAL_MACHINES,
    )
    trainer_secret: str = setting(
        "",
        "Signs the gateway's jobs for the trainer: at least 32 characters, the same for gateways and trainers on all"
        " machines. Two with a blank between them, the new one first, while it is replaced. Empty:"
        " `shared/trainer.secret` in STATE_DIR.",
        secret=True,
        section=SEVERAL_MACHINES,
    )
    train_cluster: str = setting(
        "",
        "Address of a Dask scheduler, such as tls://scheduler:8786, on whose workers the trainer cross-validates and"
        " searches. Certificates: Dask's own settings, such as DASK_DISTRIBUTED__COMM__TLS__CA_FILE"
        " (docs/how-to/train-on-a-cluster.md). Empty: the trainer does it itself.",
        section=SEVERAL_MACHINES,
    )
    redis_fsync: str = setting(
        "everysec",
        "When Redis flushes to disk: everysec (a power cut loses a second or two), or always (loses nothing, slower).",
        choices=("everysec", "always"),
        section=OWN_REDIS,
    )
    redis_maxmemory: str = setting(
        "1gb",
        "Memory limit of Redis, such as 512mb or 2gb. At the limit it refuses new jobs and loses none. 0: no limit.",
        section=OWN_REDIS,
    )
    otel_exporter_otlp_endpoint: str = setting(
        "", "URL of an OpenTelemetry collector (OTLP over HTTP) that gets traces; empty: none.", section=OPENTELEMETRY
    )
    publish_address: str = setting(
        "",
        "Address of this machine at which the proxy of compose.scale.yml listens; empty: 127.0.0.1, 0.0.0.0: all. Any"
        " other than loopback needs a key, or ALLOW_ANONYMOUS=1.",
        section=CONTAINERS,
    )

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings. Raises `SettingsError`. An empty variable is not set. A secret may be in the file that
        `<NAME>_FILE` names. `redis_url` has the password."""
        values: dict[str, Any] = {}
        for entry in dataclasses.fields(cls):
            text = environ.get(entry.name.upper(), "").strip()
            if entry.metadata["secret"]:
                text = secret_of(entry.name.upper(), text, environ)
            if text:
                values[entry.name] = parsed(entry, text)
        if values.get("redis_url"):
            values["redis_url"] = with_passwords(values["redis_url"], values)
        settings = cls(**values)
        check_admin_key(settings.admin_key)
        check_origins(settings.cors_origins)
        check_proxies(settings.trusted_proxies, settings.trusted_user_header)
        check_targets(settings.webhook_allow)
        check_cluster(settings.train_cluster)
        check_stop(settings.stop_delay, settings.stop_grace)
        return settings

    @property
    def marker(self) -> Path:
        """The file that says that requests need a key."""
        return self.state_dir / "closed"

    @property
    def always_closed(self) -> bool:
        """Whether requests need a key from the beginning."""
        return bool(self.admin_key or self.trusted_user_header) or self.allow_anonymous is False

    @property
    def trainer_secret_path(self) -> Path:
        """The file with the secret that gateway and trainer share, in the folder that their containers share."""
        return self.state_dir / "shared" / "trainer.secret"

    @property
    def environments_dir(self) -> Path:
        """The folder with the environments of this machine."""
        return self.state_dir / "environments"

    @property
    def retention(self) -> Retention:
        """How long everything is kept that nobody deletes."""
        return Retention.of(self.result_ttl, self.keep_days)

    @property
    def expected(self) -> dict[str, int]:
        """How many of each should be alive."""
        sentinel = SentinelUrl.parse(self.redis_url)
        return {
            "gateways": self.expected_gateways + bool(self.grpc_port),
            "workers": self.expected_workers,
            "trainers": self.expected_trainers,
            "replicas": self.redis_replicas + 1 if self.redis_replicas else 0,
            "sentinels": len(sentinel.sentinels) if sentinel else 0,
        }

    @classmethod
    def variables(cls, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Return the variables that `from_environ` reads of `environ`, to pass them to another process."""
        fields = [(entry.name.upper(), entry.metadata["secret"]) for entry in dataclasses.fields(cls)]
        names = [name for name, _ in fields] + [f"{name}_FILE" for name, secret in fields if secret]
        return {name: environ[name] for name in names if name in environ}

    def check_host(self) -> None:
        """Raise `SettingsError` if other machines could connect without a key and ALLOW_ANONYMOUS is not set. In a
        container, `host` says nothing, but where the port is published; and it must not forget that there are keys."""
        if self.allow_anonymous or self.always_closed:
            return
        name, address = ("PUBLISH_ADDRESS", self.publish_address) if self.publish_address else ("HOST", self.host)
        if self.publish_address and not outlasts_container(self.marker):
            raise SettingsError(
                f"STATE_DIR={self.state_dir} is on no volume that lasts, so the next container would not know that"
                " requests need a key; mount a volume there, or set ADMIN_KEY or ALLOW_ANONYMOUS=0"
            )
        if not is_loopback(address.strip("[]")) and not self.marker.exists():
            raise SettingsError(
                f"{name}={address} lets other machines in, and there are no keys to tell them apart; set ADMIN_KEY or"
                " ALLOW_ANONYMOUS=0, or ALLOW_ANONYMOUS=1 if that is meant"
            )

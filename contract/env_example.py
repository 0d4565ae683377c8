"""The file `.env.example`: every setting, and every variable of the compose files, with its documentation.

`python -m contract.env_example` prints it.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from contract.settings import SERVICES, Settings

COMPOSE = (
    ("UID", "1000", "Who owns the model repository (`id -u`): the services in containers run as this user."),
    ("GID", "1000", "The group of that user (`id -g`)."),
    ("PROMETHEUS_PORT", "9090", "Port of Prometheus on loopback, with `--profile monitoring`."),
    (
        "PROMETHEUS_KEY",
        "",
        "File with an API key of the scope read, which Prometheus sends for the metrics; empty: none.",
    ),
    ("ALERTMANAGER_PORT", "9093", "Port of Alertmanager on loopback, with `--profile monitoring`."),
    ("ALERTS_TO", "", "File with the URL to which Alertmanager sends firing alerts; empty: none are sent."),
    ("GRAFANA_PORT", "3000", "Port of Grafana on loopback, with `--profile monitoring`."),
    (
        "EXTRA_PACKAGES",
        "",
        "Packages for models of other libraries, in the images of worker and trainer, such as: xgboost lightgbm. `make"
        " up EXTRA_PACKAGES=…` installs them, too.",
    ),
    (
        "TLS_CERTIFICATES",
        "",
        "Folder with PEM files, each a certificate and its private key, with which the proxy of compose.scale.yml"
        " serves TLS; empty: HTTP.",
    ),
    (
        "PROXY_NETWORK",
        "10.203.1",
        "First three numbers of the network between the proxy of compose.scale.yml and the gateways; change it if"
        " another network has them.",
    ),
    ("OPENTELEMETRY", "", "1: build the images with OpenTelemetry, for OTEL_EXPORTER_OTLP_ENDPOINT."),
    (
        "COMPOSE_FILE",
        "docker-compose.yml",
        "Files of docker compose, separated by colons. compose.scale.yml adds a second gateway and HAProxy,"
        " compose.sentinel.yml two replicas of Redis and three Sentinels.",
    ),
    (
        "JOBS_NETWORK",
        "10.203.0",
        "First three numbers of the services' addresses with compose.sentinel.yml.",
    ),
    (
        "REDIS_IMAGE",
        "redis:8",
        "Image of Redis, such as valkey/valkey:8. Choose before the first start: they cannot read each other's files.",
    ),
    ("REDIS_MEMORY", "2560m", "Memory limit of Redis' container: two and a half times REDIS_MAXMEMORY."),
    ("GATEWAY_MEMORY", "2g", "Memory limit of a gateway's container."),
    (
        "WORKER_MEMORY",
        "10g",
        "Memory limit of a worker's container: 1.3 times MODEL_CACHE_MB, and SCORER_MEMORY_MB for each of its WORKERS.",
    ),
    ("TRAINER_MEMORY", "6g", "Memory limit of a trainer's container: TRAIN_MEMORY_MB and 2 GB."),
    ("EVENTS_MEMORY", "512m", "Memory limit of the container of the service that sends webhooks."),
    ("GATEWAY_CPUS", "0", "Processors that a gateway's container may use, such as 1.5; 0: all."),
    ("WORKER_CPUS", "0", "Processors that a worker's container may use; 0: all."),
    ("TRAINER_CPUS", "0", "Processors that a trainer's container may use; 0: all."),
    ("EVENTS_CPUS", "0", "Processors that the container of that service may use; 0: all."),
)
"""Variables that only the compose files read: name, default, documentation."""


def example() -> str:
    """Return the text of `.env.example`: each variable with its documentation and its default."""
    lines = [
        "# Every setting with its default. Copy to .env for docker compose, or export what you change.",
        "# One MB is 2**20 bytes. A secret may be in a file instead, which its variable with _FILE names.",
        "",
    ]
    for section, entries in itertools.groupby(dataclasses.fields(Settings), lambda entry: entry.metadata["section"]):
        lines += [] if section == SERVICES else [f"# {section}:", ""]
        for entry in entries:
            lines += _lines(entry)
    for name, default, doc in COMPOSE:
        lines += [f"# {doc}", f"# {name}={default}", ""]
    return "\n".join(lines[:-1]) + "\n"


def _lines(entry: dataclasses.Field[Any]) -> list[str]:
    name, default = entry.name.upper(), entry.default
    if isinstance(default, tuple):
        default = ",".join(default)
    file = [f"# {name}_FILE="] if entry.metadata["secret"] else []
    return [f"# {entry.metadata['doc']}", f"# {name}={'' if default is None else default}", *file, ""]


if __name__ == "__main__":
    print(example(), end="")

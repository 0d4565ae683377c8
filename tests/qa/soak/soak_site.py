"""A site under stress: whatever ends is restarted, as a process manager would."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from contract.model.environments import TODAY
from tests.flow import estimators
from tests.flow.old_releases import OLD, lives_in, with_environments
from tests.stacks.gateways import Site, start_site
from tests.stacks.workers import Worker
from tests.support import numbers, until, write_version

LEASE = 3.0
RESULT_TTL = 30
POOL_IDLE = 5
MODELS = {"fast": 0.0002, "steady": 0.002, "slow": 0.02, "old": 0.002}
"""Seconds per row of each model."""
ENVIRONMENTS = {"old": OLD}
"""Where the versions of a model live, if that is not today's environment."""


@dataclass
class SoakSite:
    """A site with its workers and the versions that it has published."""

    site: Site
    workers: dict[str, Worker] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)

    @property
    def models(self) -> Path:
        return self.site.gateway.models

    def start_worker(self, name: str) -> None:
        state = self.models.parent / "state"
        self.workers[name] = self.site.cluster.start(name, state_dir=state, pool_idle=POOL_IDLE)

    def keep(self) -> None:
        """Restart the workers and the gateway if they have ended."""
        for name, worker in list(self.workers.items()):
            if worker.process.poll() is not None:
                self.start_worker(name)
        gateway = self.site.gateway
        if gateway.process and gateway.process.poll() is not None:
            gateway.start()

    def ready(self) -> None:
        """Wait until all processes are up."""
        for worker in self.workers.values():
            until(lambda w=worker: _scorers(w) == 2, f"both scorers of {worker.name}: {worker.log[-2000:]}")
        until(lambda: len(self.site.gateway.processes()) == 2, "the gateway's processes")

    def publish(self, model: str) -> int:
        """Publish a version and move the alias to it, each in one step, as the trainer does."""
        version = self.versions.get(model, 0) + 1
        staging = self.models / ".staging"
        estimator = estimators.Versioned(version, MODELS[model])
        home = lives_in(ENVIRONMENTS.get(model, TODAY))
        write_version(staging, model, estimator, numbers("a"), version=version, by_value=True, **home)
        target = self.models / model / "versions" / str(version)
        target.parent.mkdir(parents=True, exist_ok=True)
        (staging / model / "versions" / str(version)).rename(target)
        self.move_alias(model, staging / model / "aliases.json")
        self.versions[model] = version
        return version

    def move_alias(self, model: str, new: Path) -> None:
        new.replace(self.models / model / "aliases.json")

    def footprint(self) -> dict[str, Any]:
        """What must not grow."""
        with self.site.server.connect() as redis:
            clients, memory = redis.info("clients")["connected_clients"], redis.info("memory")["used_memory"]
            return {
                "keys": len(self.keys()),
                "redis_mb": round(memory / 1e6, 2),
                "redis_clients": clients,
                "gateway_mb": round(max(p.memory_info().rss for p in self.site.gateway.processes()) / 1e6, 1),
            }

    def keys(self) -> list[str]:
        """The keys in Redis without the bells, which come and go, and the metrics, which are bounded."""
        passing = (b"mg:bell", b"mg:counted:", b"mg:counts:", b"mg:traffic:")
        with self.site.server.connect() as redis:
            return sorted(key.decode() for key in redis.scan_iter(count=1000) if not key.startswith(passing))

    def end(self) -> None:
        for worker in self.workers.values():
            worker.process.send_signal(signal.SIGCONT)


def _scorers(worker: Worker) -> int:
    try:
        return len(worker.scorers())
    except RedisError:
        return -1


def redis_micros(redis: Any) -> int:
    seconds, micros = redis.time()
    return int(seconds) * 1_000_000 + int(micros)


def linger(seconds: float) -> None:
    """Let the load run until the next random moment."""
    time.sleep(seconds)


@contextmanager
def start_soak_site(folder: Path, **settings: object) -> Iterator[SoakSite]:
    """A site with the first version of each model and no worker yet."""
    models = folder / "models"
    models.mkdir()
    with_environments(folder / "state")
    defaults = {"gateway_processes": 2, "submit_timeout": 2, "result_ttl": RESULT_TTL}
    with start_site(folder, models, lease=LEASE, **{**defaults, **settings}) as site:
        soak = SoakSite(site)
        for model in MODELS:
            soak.publish(model)
        try:
            yield soak
        finally:
            soak.end()

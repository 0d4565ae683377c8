"""The events of two weeks of operation: kills, restarts, scaling, new versions, a Redis that loses its scripts."""

from __future__ import annotations

import json
import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import psutil
from redis.exceptions import RedisError

from tests.flow.old_releases import pool_processes
from tests.qa.soak.soak_site import LEASE, MODELS, SoakSite, linger
from tests.stacks.workers import Worker

SPARE = ("w1", "w2", "w3")


class Events:
    """Random events; the same order for the same seed."""

    def __init__(self, soak: SoakSite, chance: random.Random) -> None:
        self._soak = soak
        self._chance = chance
        self.counts: Counter[str] = Counter()
        self._weights: dict[Callable[[], None], int] = {
            self.kill_scorer: 8,
            self.kill_supervisor: 2,
            self.kill_template: 2,
            self.kill_pool: 4,
            self.kill_worker: 2,
            self.stop_worker: 2,
            self.scale: 3,
            self.freeze_worker: 1,
            self.kill_gateway_process: 3,
            self.reload_gateway: 2,
            self.kill_gateway: 1,
            self.kill_redis: 2,
            self.restart_redis: 1,
            self.new_version: 4,
            self.roll_back: 2,
            self.forget_scripts: 2,
            self.cut_off_listeners: 2,
        }

    def one(self) -> None:
        event = self._chance.choices(list(self._weights), list(self._weights.values()))[0]
        with suppress(ProcessLookupError, psutil.NoSuchProcess, RedisError):
            event()
            self.counts[event.__name__] += 1
        self._soak.keep()

    def _worker(self) -> Worker:
        return self._chance.choice(list(self._soak.workers.values()))

    def kill_scorer(self) -> None:
        scorers = sorted(self._worker().scorers().values())
        if scorers:
            os.kill(self._chance.choice(scorers), signal.SIGKILL)

    def kill_supervisor(self) -> None:
        worker = self._worker()
        worker.process.kill()
        worker.process.wait()

    def kill_template(self) -> None:
        template = self._worker().template()
        if template:
            template.kill()

    def kill_pool(self) -> None:
        """Kill a process of an old release's pool, or all of them."""
        processes = pool_processes(self._worker())
        for process in self._chance.choice([processes, processes[:1], processes[1:]]):
            process.kill()

    def kill_worker(self) -> None:
        self._worker().kill()

    def stop_worker(self) -> None:
        worker = self._worker()
        worker.process.terminate()
        worker.process.wait(30)

    def scale(self) -> None:
        wanted = self._chance.randint(1, len(SPARE))
        workers = self._soak.workers
        for name in SPARE[wanted:]:
            if name in workers:
                gone = workers.pop(name)
                gone.process.terminate()
                gone.process.wait(30)
        for name in SPARE[:wanted]:
            if name not in workers:
                self._soak.start_worker(name)

    def freeze_worker(self) -> None:
        worker = self._worker()
        processes = worker.processes()
        worker.send(signal.SIGSTOP, processes)
        linger(LEASE * 1.5)
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)

    def kill_gateway_process(self) -> None:
        self._chance.choice(self._soak.site.gateway.processes()).kill()

    def reload_gateway(self) -> None:
        gateway = self._soak.site.gateway
        assert gateway.process
        gateway.process.send_signal(signal.SIGHUP)

    def kill_gateway(self) -> None:
        self._soak.site.gateway.kill()

    def kill_redis(self) -> None:
        self._soak.site.server.kill()
        linger(self._chance.uniform(0, 1.5))
        self._soak.site.server.start()

    def restart_redis(self) -> None:
        self._soak.site.server.stop()
        self._soak.site.server.start()

    def new_version(self) -> None:
        self._soak.publish(self._chance.choice(list(MODELS)))

    def roll_back(self) -> None:
        model = self._chance.choice(list(MODELS))
        new = self._soak.models / ".staging" / f"{model}.json"
        new.write_text(json.dumps({"current": self._chance.randint(1, self._soak.versions[model])}))
        self._soak.move_alias(model, new)

    def forget_scripts(self) -> None:
        self._soak.site.cluster.redis.script_flush()

    def cut_off_listeners(self) -> None:
        self._soak.site.cluster.redis.client_kill_filter(_type="pubsub")

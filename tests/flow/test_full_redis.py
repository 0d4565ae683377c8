"""A Redis that predictions have filled still lets an operator roll back, train, cancel and delete."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from contract.work.jobs import Status
from tests.flow import estimators
from tests.stacks.gateways import Site, start_site
from tests.support import DEADLINE, PROJECT, numbers, state_dir, until, write_version

ROOM = 2_000_000
"""Bytes that predictions may take."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site with a trainer, and versions 1 and 2 of `quick`."""
    models = tmp_path / "models"
    models.mkdir()
    for version in (1, 2):
        write_version(models, "quick", estimators.Slow(0.0), numbers("a"), by_value=True, version=version)
    (models / "quick" / "aliases.json").write_text(json.dumps({"current": 2, "previous": 1}))
    write_version(models, "slow", estimators.Slow(0.3), numbers("a"), by_value=True)
    secret = {"state_dir": str(state_dir(tmp_path)), "spool_dir": str(tmp_path / "spool")}
    with start_site(tmp_path, models, submit_timeout=1, max_queue_rows=10_000_000, **secret) as site:
        settings = {"REDIS_URL": site.server.url, "MODELS_DIR": str(models), "TRAIN_ON_START": "none"}
        environment = {**os.environ, **settings, **{name.upper(): value for name, value in secret.items()}}
        with (tmp_path / "trainer.log").open("wb") as log:
            trainer = subprocess.Popen(
                [sys.executable, "-m", "trainer"], cwd=PROJECT, env=environment, stdout=log, stderr=log
            )
        try:
            site.cluster.start().ready()
            until(lambda: site.cluster.redis.exists("mg:trainer:recipes"), "the trainer is ready")
            yield site
        finally:
            trainer.terminate()
            trainer.wait(DEADLINE)


def fill(site: Site) -> list[str]:
    """Post predictions that nobody reads until Redis refuses them. Returns their ids."""
    redis: Any = site.cluster.redis
    redis.config_set("maxmemory", int(redis.info("memory")["used_memory"]) + ROOM)
    ids = []
    body = [{"a": 1.123456789}] * 2000
    while (answer := site.gateway.post("quick", body)).status_code == 202:
        ids.append(answer.json()["id"])
    assert (answer.status_code, answer.json()["code"]) == (503, "redis_full")
    assert int(answer.headers["Retry-After"]) >= 1
    return ids


@pytest.mark.slow
def test_a_redis_full_of_predictions_takes_what_repairs(site: Site) -> None:
    running = [site.gateway.post("slow", {"a": 1}).json()["id"] for _ in range(4)]
    post, address = requests.post, site.gateway.address
    schedule = f"{address}/v1/models/blobs/schedule"
    assert requests.put(schedule, json={"cron": "0 3 * * 1"}, timeout=60).status_code == 200
    filling = fill(site)
    until(lambda: "redis_full" in json.dumps(site.gateway.get("/health/ready").json()), "the health says so")
    assert site.gateway.get("/health/ready").json()["repairs"] is True
    rolled_back = post(f"{address}/v1/models/quick/rollback", timeout=60)
    assert (rolled_back.status_code, rolled_back.json()["aliases"]["current"]) == (200, 1), rolled_back.text
    trained = post(f"{address}/v1/models/blobs/train", timeout=60)
    assert trained.status_code == 202, trained.text
    assert requests.delete(schedule, timeout=60).status_code == 204
    assert requests.get(schedule, timeout=60).status_code == 404
    canceled = requests.post(f"{address}/v1/models/blobs/train", timeout=60).json()["id"]
    assert requests.delete(f"{address}/v1/jobs/{canceled}", timeout=60).json()["status"] == "canceled"
    assert site.gateway.post("slow", {"a": 1}).json()["code"] == "redis_full"
    ended = site.cluster.ended([trained.json()["id"], *running, *filling])
    assert {job.status for job in ended} == {Status.SUCCEEDED}
    assert "100 rows" in site.gateway.get(f"/v1/jobs/{trained.json()['id']}/log").text
    for job_id in filling:
        assert requests.delete(f"{address}/v1/jobs/{job_id}", timeout=60).status_code == 204
    until(lambda: site.gateway.post("slow", {"a": 1}).status_code == 202, "deleting has made room")


@pytest.mark.slow
def test_what_repairs_cannot_overfill_a_full_redis(site: Site) -> None:
    site.cluster.ended(fill(site))
    redis: Any = site.cluster.redis
    before = int(redis.info("memory")["used_memory"])
    redis.config_set("maxmemory", before // 2)  # scoring has made room
    answers = [requests.post(f"{site.gateway.address}/v1/models/blobs/train", timeout=60) for _ in range(60)]
    accepted = [answer.json()["id"] for answer in answers if answer.status_code == 202]
    assert 10 <= len(accepted) <= 40
    assert {answer.json()["code"] for answer in answers if answer.status_code != 202} == {"redis_full"}
    assert int(redis.info("memory")["used_memory"]) - before < 8_000_000
    assert requests.post(f"{site.gateway.address}/v1/models/quick/rollback", timeout=60).status_code == 200
    for job_id in accepted:
        requests.delete(f"{site.gateway.address}/v1/jobs/{job_id}", timeout=60)

"""A stack goes on from its backup, with the commands of the how-to."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import requests

from tests.qa.system.load import Load
from tests.qa.system.stack import ROOT, Stack, until

PAGE = (ROOT / "docs" / "how-to" / "back-up-and-restore.md").read_text()
SCHEDULE = "/v1/models/iris/schedule"


def test_a_backup_under_load_brings_back_jobs_results_keys_and_schedules(closed: Stack, tmp_path: Path) -> None:
    of_containers = PAGE.partition("## In containers")[2].replace("backup.tar.gz", str(tmp_path / "b.tar.gz"))
    save, restore = re.findall(r"^\$ (docker compose run .*)$", of_containers, re.MULTILINE)
    made = closed.shell("docker compose exec -T gateway python -m gateway key add --name me --scopes admin")
    closed.headers = {"Authorization": f"Bearer {made.strip()}"}
    try:
        every_minute = {"cron": "* * * * *", "request": {"recipe": "iris"}}
        assert requests.put(closed.url + SCHEDULE, json=every_minute, headers=closed.headers, timeout=60).ok
        closed.compose("stop", "trainer")
        training = requests.post(f"{closed.url}/v1/models/iris/train", headers=closed.headers, timeout=60)
        with Load(closed) as load:
            load.go_on()
            polled = list(load.polled)
            closed.shell(save)
            load.go_on()
        assert load.failures == []
        closed.down("--volumes")
        for folder in closed.models_dir.iterdir():
            shutil.rmtree(folder)
        closed.shell(restore)
        closed.up()
        assert requests.get(f"{closed.url}/v1/models", timeout=60).status_code == 401
        assert {job["status"] for job in closed.finished([training.json()["id"], *polled])} == {"succeeded"}

        def last_run() -> dict[str, Any]:
            return closed.get(SCHEDULE).json()["last_run"] or {}

        until(lambda: last_run().get("completed_at"), 120)
        assert last_run()["status"] == "succeeded" and "schedule_failed" not in closed.wrong()
        assert requests.delete(closed.url + SCHEDULE, headers=closed.headers, timeout=60).ok
    finally:
        closed.headers = {}

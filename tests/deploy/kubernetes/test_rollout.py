"""rollout.sh applies every object once, one service after the other, and stops at the first that does not become ready.

There is no cluster here: a program in the place of kubectl renders as it does, selects by labels, and notes the rest.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.kubernetes.manifests import FOLDER, KUBECTL, kustomize

CLUSTER = f"""#!{sys.executable}
import os, subprocess, sys, yaml
from pathlib import Path

command, *rest = sys.argv[1:]
if command == "kustomize":
    sys.exit(subprocess.run([{str(KUBECTL)!r}, command, *rest]).returncode)
folder = Path(os.environ["CLUSTER"])
if command == "apply":
    options = dict(zip(rest[::2], rest[1::2]))
    key, _, value = options["--selector"].removeprefix("!").partition("=")
    for thing in yaml.safe_load_all(Path(options["--filename"]).read_text()):
        if thing["metadata"].get("labels", {{}}).get(key, "") == value:
            name = f"{{thing['kind'].lower()}}/{{thing['metadata']['name']}}"
            workload = thing["apiVersion"] == "apps/v1"
            with (folder / "log").open("a") as log:
                print("applied", name, file=log)
            print(name.replace("/", ".apps/", 1) if workload else name)
elif command == "rollout":
    with (folder / "log").open("a") as log:
        print("ready", rest[-1], file=log)
    sys.exit(rest[-1] == os.environ.get("STUCK"))
"""


def rolled_out(folder: Path, overlay: str, stuck: str = "") -> tuple[int, list[str]]:
    """Return the exit code of rollout.sh, and what it did."""
    (folder / "kubectl").write_text(CLUSTER)
    (folder / "kubectl").chmod(0o755)
    environment = {
        "PATH": f"{folder}:/usr/bin:/bin",
        "CLUSTER": str(folder),
        "STUCK": stuck,
    }
    command = ["sh", FOLDER / "rollout.sh", FOLDER / "overlays" / overlay]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    return run.returncode, (folder / "log").read_text().splitlines()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overlay", "order"),
    [
        (
            "small",
            [
                "statefulset/redis",
                "deployment/observer",
                "deployment/worker",
                "deployment/gateway",
                "deployment/trainer",
            ],
        ),
        (
            "autoscaled",
            [
                "deployment/observer",
                "deployment/worker",
                "deployment/worker-rare",
                "deployment/gateway",
                "deployment/trainer",
            ],
        ),
    ],
)
def test_services_are_replaced_in_their_order(tmp_path: Path, overlay: str, order: list[str]) -> None:
    code, done = rolled_out(tmp_path, overlay)
    assert code == 0
    ready = [line.removeprefix("ready ").replace(".apps", "") for line in done if line.startswith("ready")]
    assert ready == [*order, "deployment/events"]
    applied = [line.removeprefix("applied ") for line in done if line.startswith("applied")]
    objects = kustomize(FOLDER / "overlays" / overlay)
    assert sorted(applied) == sorted(f"{thing['kind'].lower()}/{thing['metadata']['name']}" for thing in objects)
    assert done.index("applied configmap/" + _settings(applied)) < done.index("applied deployment/worker")


def _settings(applied: list[str]) -> str:
    return next(name.removeprefix("configmap/") for name in applied if name.startswith("configmap/"))


@pytest.mark.slow
def test_it_stops_at_a_service_that_does_not_become_ready(tmp_path: Path) -> None:
    code, done = rolled_out(tmp_path, "small", stuck="deployment.apps/gateway")
    assert code != 0
    assert done[-1] == "ready deployment.apps/gateway"
    assert "applied deployment/trainer" not in done

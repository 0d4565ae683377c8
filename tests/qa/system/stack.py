"""The compose stack, seen as its users see it: over HTTP, and through `docker compose`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.stacks.ports import free_port

ROOT = Path(__file__).resolve().parents[3]
KEYS_PAGE = (ROOT / "docs" / "how-to" / "give-out-keys.md").read_text()
FINAL = {"succeeded", "failed", "canceled", "expired"}
TWO_GATEWAYS = "docker-compose.yml:compose.scale.yml"
GATEWAYS = ("gateway", "gateway-2")
IRIS = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}


def _free_network() -> str:
    """The first three parts of addresses that no network of Docker has, be it one that an earlier run left behind."""
    listed = subprocess.run(["docker", "network", "ls", "--quiet"], capture_output=True, text=True, check=True)
    described = subprocess.run(
        ["docker", "network", "inspect", *listed.stdout.split()], capture_output=True, text=True, check=False
    ).stdout  # without those that have just been removed
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])  # another takes others
    networks = (f"10.203.{part}" for part in range(10 + worker, 250, 20))
    return next(network for network in networks if f'"{network}.' not in described)


class Stack:
    """One compose project of its own: other names, another port and another model repository than the user's."""

    def __init__(self, models_dir: Path, owner: int, folder: Path = ROOT) -> None:
        self._folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.models_dir, self.owner = models_dir, owner
        self.data_dir = os.environ.get("DATA_DIR", "")
        # Set here and not in .env, which belongs to the user and may set anything.
        self._environ = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME") or k.startswith("DOCKER_")} | {
            "PORT": str(self.port),
            "MODELS_DIR": str(models_dir),
            "DATA_DIR": self.data_dir and str(Path(self.data_dir).resolve()),
            "UID": str(owner),
            "GID": str(owner),
            "REDIS_IMAGE": os.environ.get("REDIS_IMAGE", ""),
            "EXTRA_PACKAGES": "lightgbm",
            "PROXY_NETWORK": _free_network(),
        }
        project = f"modelgate-test-{uuid.uuid4().hex[:8]}"
        self._compose = ["docker", "compose", "--ansi", "never", "--env-file", "/dev/null"]
        self._environ["COMPOSE_PROJECT_NAME"] = project
        self.headers: dict[str, str] = {}
        """Of each request."""

    def compose(self, *arguments: str, timeout: float = 600) -> str:
        """What `docker compose` prints on standard output; an exit other than 0 fails the test with its messages."""
        return self._run([*self._compose, *arguments], timeout)

    def shell(self, line: str) -> str:
        """What a line of a page prints on standard output. It names its files by absolute paths."""
        with self.changed(COMPOSE_ENV_FILES="/dev/null"):
            return self._run(["sh", "-c", line], timeout=600)

    def up(self, *arguments: str) -> None:
        """Returns when every container is healthy; else fails with the logs."""
        try:
            self.compose("up", "--detach", "--wait", "--wait-timeout", "480", *arguments)
        except AssertionError as error:
            # Without the log of the build, and the reason last: CI cuts long output in the middle.
            reason = "\n".join(line for line in str(error).splitlines() if line and not line.startswith("#"))
            raise AssertionError(f"{self._state()}\n{reason}") from None

    def _state(self) -> str:
        """The last lines of each log, the containers, and what the last probes of those not healthy said."""
        probes = [
            f"{container['Name']}: {probe['Start']} to {probe['End']}: {probe['ExitCode']} {probe['Output']}"
            for container in self.containers()
            if container["State"].get("Health", {}).get("Status") not in (None, "healthy")
            for probe in container["State"]["Health"]["Log"]
        ]
        return "\n".join([self.compose("logs", "--tail", "20"), self.compose("ps", "--all"), *probes])

    @contextmanager
    def changed(self, **values: object) -> Iterator[None]:
        """These settings for all that happens in the block, as from .env; containers that use them stay."""
        before = dict(self._environ)
        self._environ.update({name: str(value) for name, value in values.items()})
        try:
            yield
        finally:
            self._environ = before

    @contextmanager
    def settings(self, **values: object) -> Iterator[None]:
        """The stack with these settings; afterwards it is as before."""
        try:
            with self.changed(**values):
                yield
        finally:
            self.up("--remove-orphans")

    def upgrade(self) -> str:
        """What `modelgate upgrade` prints, once it has replaced the containers; fails with the logs."""
        try:
            return self._run([sys.executable, "-m", "modelgate.command", "upgrade"], 600)
        except AssertionError as error:
            raise AssertionError(f"{self._state()}\n{error}") from None

    def down(self, *arguments: str) -> None:
        self.compose("down", "--remove-orphans", *arguments)

    def remove_volume(self, name: str) -> None:
        self._run(["docker", "volume", "rm", f"{self._environ['COMPOSE_PROJECT_NAME']}_{name}"])

    def containers(self, service: str = "") -> list[dict[str, Any]]:
        """What `docker inspect` says about the running containers of one service, or of all."""
        return self.inspect(*self.compose("ps", "--quiet", *filter(None, [service])).split())

    def inspect(self, *things: str) -> list[dict[str, Any]]:
        descriptions: list[dict[str, Any]] = json.loads(self._run(["docker", "inspect", *things])) if things else []
        return descriptions

    def execute(self, container: str, *command: str) -> str:
        return self._run(["docker", "exec", container, *command])

    def get(self, path: str, **arguments: Any) -> requests.Response:
        headers = self.headers | arguments.pop("headers", {})
        return requests.get(self.url + path, headers=headers, timeout=60, **arguments)

    def wrong(self) -> set[str]:
        """The codes of what is wrong by /v1/system."""
        return {alert["code"] for alert in self.get("/v1/system").json()["alerts"]}

    def predict(self, model: str, body: object, wait: int | None = None) -> requests.Response:
        headers = self.headers | ({} if wait is None else {"Prefer": f"wait={wait}"})
        return requests.post(f"{self.url}/v1/models/{model}/predict", json=body, headers=headers, timeout=60)

    def prediction(self, model: str, body: object) -> dict[str, Any]:
        """The `output` of a job that must succeed. A worker that has just started may take minutes."""
        response = self.predict(model, body, wait=30)
        assert response.status_code in (200, 202), response.text
        (job,) = self.finished([response.json()["id"]])
        assert job["status"] == "succeeded", job
        output: dict[str, Any] = job["output"]
        return output

    def post_many(self, model: str, bodies: Sequence[object]) -> list[str]:
        """The ids of the accepted jobs, in the order of `bodies`."""

        def post(body: object) -> str:
            response = self.predict(model, body)
            assert response.status_code == 202, response.text
            return str(response.json()["id"])

        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(post, bodies))

    def finished(self, ids: Sequence[str], seconds: float = 300) -> list[dict[str, Any]]:
        """The jobs, once all of them have ended; fails when that takes longer than `seconds`."""
        deadline = time.monotonic() + seconds

        def finished(job_id: str) -> dict[str, Any]:
            while True:
                response = self.get(f"/v1/jobs/{job_id}?wait=5")
                assert response.status_code == 200, response.text
                job: dict[str, Any] = response.json()
                if job["status"] in FINAL:
                    return job
                assert time.monotonic() < deadline, f"not ended after {seconds} s: {job}"

        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(finished, ids))

    def _run(self, command: Sequence[str], timeout: float = 300) -> str:
        result = subprocess.run(
            command,
            cwd=self._folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert result.returncode == 0, f"{' '.join(command)}: exit {result.returncode}\n{result.stdout}{result.stderr}"
        return result.stdout


def until(condition: Callable[[], object], seconds: float = 300, pause: float = 0.1) -> None:
    """Returns as soon as `condition` is true; fails when that takes longer than `seconds`. `pause`: seconds between two
    looks, more of them for one that starts programs."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(pause)


def why_no_docker() -> str | None:
    """None where `docker compose` works, else the reason it does not."""
    try:
        subprocess.run(["docker", "info"], capture_output=True, check=True, timeout=30)
        subprocess.run(["docker", "compose", "version"], capture_output=True, check=True, timeout=30)
    except FileNotFoundError:
        return "Docker is not installed"
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        return f"{' '.join(error.cmd)} does not work here: is the Docker engine running?"
    return None

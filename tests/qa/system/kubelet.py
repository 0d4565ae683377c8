"""Runs rendered manifests with Docker: each container exactly as its manifest says, and watched as a kubelet does.

What a cluster has beyond that is not here: network policies, scheduling, the cluster's DNS and its load balancing. The
containers of a pod share the network of an idle one, whose names are those of the services that select the pod.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests

from tests.deploy.kubernetes.manifests import WORKLOADS, Cluster, Container, Object, labels_of, matches
from tests.qa.system.stack import until

_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def docker(*arguments: str, timeout: float = 120) -> str:
    """Return what `docker` prints; an exit other than 0 fails the test with its message."""
    run = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=timeout)
    assert run.returncode == 0, f"docker {' '.join(arguments)}: {run.stderr}"
    return run.stdout.strip()


def size_of(quantity: str) -> int:
    """Return the bytes of a quantity such as 256Mi."""
    return int(quantity[:-2]) * _UNITS[quantity[-2:]]


class Pod:
    """One pod of a workload with one container. Its volumes outlive its containers."""

    def __init__(self, node: Node, container: Container) -> None:
        self._node, self._container = node, container
        self._spec = container.spec
        self.name = f"{node.name}-{container.workload['metadata']['name']}"
        self._context = container.pod["securityContext"]
        self._mounts: list[str] = []
        self._stop = threading.Event()
        self._paused = threading.Event()
        self._watching = threading.Thread(target=self._watch, name=self.name, daemon=True)
        self.started = self.ready = False
        self.restarts = 0
        self.reasons: list[str] = []
        """Why the container was restarted."""
        self.ended = (0, 0.0)
        """Exit code and seconds of the last `pause`."""
        self.grace: int = container.pod["terminationGracePeriodSeconds"]
        self.url = ""

    def start(self) -> None:
        self._mounts = [option for mount in self._spec["volumeMounts"] for option in self._mount(mount)]
        names = [
            service["metadata"]["name"]
            for service in self._node.cluster.of("Service")
            if matches({"matchLabels": service["spec"]["selector"]}, labels_of(self._container.workload))
        ]
        ports = [port["containerPort"] for port in self._spec.get("ports", ())]
        network = ["--network", self._node.name, "--hostname", self._container.workload["metadata"]["name"]]
        network += [option for name in names for option in ("--network-alias", name)]
        network += [option for port in ports for option in ("--publish", f"127.0.0.1::{port}")]
        # It mounts the volumes, too: one in memory would end with the last container that does.
        docker("run", "--detach", "--name", f"{self.name}-pod", "--init", *network, *self._mounts,
               "--entrypoint", "sleep", self._node.idle_image, "infinity")  # fmt: skip
        if ports:
            self.url = f"http://{docker('port', f'{self.name}-pod', str(ports[0]))}"
        self._run()
        self._watching.start()

    def kill(self) -> None:
        """Kill all processes of the container, as the kernel does when memory runs out."""
        docker("kill", "--signal", "KILL", self.name)

    def pause(self) -> None:
        """Stop the container, and restart it no more."""
        self._paused.set()
        self.ended = self.end()

    def go_on(self) -> None:
        self._run()
        self._paused.clear()

    def end(self) -> tuple[int, float]:
        """Stop the container as the kubelet does. Returns its exit code and the seconds that it took."""
        began = time.monotonic()
        docker("stop", "--time", str(self.grace), self.name, timeout=self.grace + 60)
        seconds = time.monotonic() - began
        return int(self.inspect()["State"]["ExitCode"]), seconds

    def inspect(self) -> dict[str, Any]:
        (description,) = json.loads(docker("inspect", self.name))
        return dict(description)

    def execute(self, *command: str) -> str:
        return docker("exec", self.name, *command)

    def logs(self) -> str:
        run = subprocess.run(["docker", "logs", "--tail", "30", self.name], capture_output=True, text=True)
        return f"{self.name}: {self.reasons}\n{run.stdout}{run.stderr}"

    def probe(self, kind: str) -> bool:
        """Whether the probe of this kind succeeds now."""
        probe = self._spec[kind]
        if "httpGet" in probe:
            try:
                answer = requests.get(self.url + probe["httpGet"]["path"], timeout=probe["timeoutSeconds"])
            except requests.RequestException:
                return False
            return 200 <= answer.status_code < 400
        try:
            command = ["docker", "exec", self.name, *probe["exec"]["command"]]
            return subprocess.run(command, capture_output=True, timeout=probe["timeoutSeconds"]).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def remove(self) -> None:
        self._stop.set()
        if self._watching.is_alive():
            self._watching.join(60)
        subprocess.run(["docker", "rm", "--force", "--volumes", self.name, f"{self.name}-pod"], capture_output=True)

    def _run(self) -> None:
        spec, context = self._spec, self._context
        locked = spec["securityContext"]
        options = ["--user", f"{context['runAsUser']}:{context['runAsGroup']}", "--group-add", str(context["fsGroup"])]
        options += ["--read-only"] if locked["readOnlyRootFilesystem"] else []
        options += [] if locked["allowPrivilegeEscalation"] else ["--security-opt", "no-new-privileges:true"]
        options += [option for name in locked["capabilities"]["drop"] for option in ("--cap-drop", name)]
        options += ["--memory", str(size_of(spec["resources"]["limits"]["memory"]))]
        variables, _ = self._node.cluster.environment(self._container)
        options += [option for pair in variables.items() for option in ("--env", "=".join(pair))]
        program, *arguments = spec.get("command", [None])
        options += ["--entrypoint", program] if program else []
        subprocess.run(["docker", "rm", "--force", self.name], capture_output=True)
        docker("run", "--detach", "--name", self.name, "--network", f"container:{self.name}-pod", *options,
               *self._mounts, spec["image"], *arguments)  # fmt: skip

    def _mount(self, mount: Object) -> list[str]:
        """Return the options of a mount. A group of the pod's owns its volumes, as with a kubelet."""
        volume, group = self._container.volume(mount) or {}, self._context["fsGroup"]
        end = [",readonly"] if mount.get("readOnly") else [""]
        if "emptyDir" in volume:
            name = f"{self.name}-{mount['name']}"
            limit = size_of(volume["emptyDir"]["sizeLimit"])
            docker("volume", "create", "--driver", "local", "--opt", "type=tmpfs", "--opt", "device=tmpfs",
                   "--opt", f"o=size={limit},mode=2777,gid={group}", name)  # fmt: skip
            self._node.volumes.append(name)
            source = f"type=volume,source={name},volume-nocopy"
        elif "secret" in volume:
            source = f"type=bind,source={self._node.secret(self.name, volume['secret'], group)}"
        else:
            claim = volume.get("persistentVolumeClaim", {}).get("claimName", f"{mount['name']}-{self.name}")
            source = f"type=bind,source={self._node.claim(claim, group)}"
        return ["--mount", f"{source},target={mount['mountPath']}{end[0]}"]

    def _watch(self) -> None:
        """Start the container again when it ends or its probes fail, as often as the manifest allows."""
        failures = dict.fromkeys(("startupProbe", "livenessProbe", "readinessProbe"), 0)
        due = dict.fromkeys(failures, 0.0)
        while not self._stop.wait(0.2):
            if self._paused.is_set():
                self.started = self.ready = False
                continue
            if not self._runs():
                self._restart("it ended")
                failures, due = dict.fromkeys(failures, 0), dict.fromkeys(due, 0.0)
                continue
            for kind in ("livenessProbe", "readinessProbe") if self.started else ("startupProbe",):
                if kind not in self._spec or time.monotonic() < due[kind]:
                    continue
                well = self.probe(kind)
                failures[kind] = 0 if well else failures[kind] + 1
                due[kind] = time.monotonic() + self._spec[kind]["periodSeconds"]
                failed = failures[kind] >= self._spec[kind].get("failureThreshold", 3)
                if kind == "readinessProbe":
                    self.ready = well or (self.ready and not failed)
                elif kind == "startupProbe" and well:
                    self.started, self.ready = True, "readinessProbe" not in self._spec
                elif failed:
                    self.end()
                    self._restart(f"{kind} failed")
                    failures, due = dict.fromkeys(failures, 0), dict.fromkeys(due, 0.0)
                    break

    def _runs(self) -> bool:
        run = subprocess.run(
            ["docker", "inspect", "--format", "{{.State.Running}}", self.name], capture_output=True, text=True
        )
        return run.stdout.strip() == "true" or self._paused.is_set()

    def _restart(self, reason: str) -> None:
        self.started = self.ready = False
        if self._stop.is_set() or self._paused.is_set():
            return
        self.restarts += 1
        self.reasons.append(reason)
        self._run()


class Node:
    """The pods of all workloads of a cluster, one of each, on one machine. Needs root, who gives files to groups."""

    def __init__(self, objects: Sequence[Object], folder: Path, idle_image: str) -> None:
        self.cluster = Cluster(objects)
        self.name = f"k8s-{uuid.uuid4().hex[:8]}"
        self.idle_image = idle_image
        self.volumes: list[str] = []
        self.folder = folder
        self.pods = {c.workload["metadata"]["name"]: Pod(self, c) for c in self.cluster.containers()}

    def start(self) -> None:
        """Start everything at once, as `kubectl apply` does: each waits for what it needs."""
        assert len(self.pods) == len(self.cluster.of(*WORKLOADS)), "a pod has one container here"
        docker("network", "create", self.name)
        for pod in self.pods.values():
            pod.start()

    def wait(self, seconds: float = 400) -> None:
        """Return once all pods are ready."""
        try:
            until(lambda: all(pod.ready for pod in self.pods.values()), seconds)
        except AssertionError:
            states = "\n".join(pod.logs() for pod in self.pods.values() if not pod.ready)
            raise AssertionError(f"not ready after {seconds} s:\n{states}") from None

    def remove(self) -> None:
        for pod in self.pods.values():
            pod.remove()
        for volume in self.volumes:
            subprocess.run(["docker", "volume", "rm", "--force", volume], capture_output=True)
        subprocess.run(["docker", "network", "rm", self.name], capture_output=True)

    def claim(self, name: str, group: int) -> Path:
        """Return the folder of a claim."""
        folder = self.folder / "claims" / name
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, 0, group)
        folder.chmod(0o2775)
        return folder

    def secret(self, owner: str, volume: Object, group: int) -> Path:
        """Return a folder with the files of a secret."""
        secret = self.cluster.find("Secret", volume["secretName"])
        assert secret
        folder = self.folder / "secrets" / owner
        for item in volume["items"]:
            file = folder / item["path"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(base64.b64decode(secret["data"][item["key"]]))
            file.chmod(volume["defaultMode"])
            os.chown(file, 0, group)
        return folder

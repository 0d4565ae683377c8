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
from functools import cached_property
from pathlib import Path

import requests

from tests.deploy.kubernetes.manifests import WORKLOADS, Cluster, Container, Object, labels_of, matches
from tests.qa.system.stack import until

_TURN = 1.0
"""Seconds between two looks at a container: each starts a program, and more of them take a core from what is tested."""
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
    """What the containers of a pod share: volumes, and the network of an idle container, named after the services."""

    def __init__(self, node: Node, workload: Object) -> None:
        self._node, self._workload = node, workload
        self.name = f"{node.name}-{workload['metadata']['name']}"
        spec = workload["spec"]["template"]["spec"]
        self.group: int = spec["securityContext"]["fsGroup"]
        self._sources = {volume["name"]: self._source(volume) for volume in spec["volumes"]}
        for claim in workload["spec"].get("volumeClaimTemplates", ()):
            name = claim["metadata"]["name"]
            self._sources[name] = f"type=bind,source={node.claim(f'{name}-{self.name}', self.group)}"

    def start(self) -> None:
        services = self._node.cluster.of("Service")
        labels = labels_of(self._workload)
        names = [s["metadata"]["name"] for s in services if matches({"matchLabels": s["spec"]["selector"]}, labels)]
        specs = self._workload["spec"]["template"]["spec"]["containers"]
        ports = [port["containerPort"] for spec in specs for port in spec.get("ports", ())]
        options = ["--network", self._node.name, "--hostname", self._workload["metadata"]["name"]]
        options += [option for name in names for option in ("--network-alias", name)]
        options += [option for port in ports for option in ("--publish", f"127.0.0.1::{port}")]
        # It mounts the volumes, too: one in memory would end with the last container that does.
        for number, source in enumerate(self._sources.values()):
            options += ["--mount", f"{source},target=/mnt/{number}"]
        image = self._node.idle_image
        docker(
            "run", "--detach", "--init", "--name", f"{self.name}-pod", *options, "--entrypoint", "sleep", image, "inf"
        )

    @cached_property
    def url(self) -> str:
        """The address of the first port."""
        return f"http://{docker('port', f'{self.name}-pod').split(' -> ')[1].splitlines()[0]}"

    def mounts(self, container: Object) -> list[str]:
        """Return the options that mount the volumes of a container."""
        options = []
        for mount in container["volumeMounts"]:
            end = ",readonly" if mount.get("readOnly") else ""
            options += ["--mount", f"{self._sources[mount['name']]},target={mount['mountPath']}{end}"]
        return options

    def _source(self, volume: Object) -> str:
        """Return the source of a mount. The group of the pod gets it, as with a kubelet."""
        name = f"{self.name}-{volume['name']}"
        if secret := volume.get("secret"):
            return f"type=bind,source={self._node.secret(name, secret, self.group)}"
        if claim := volume.get("persistentVolumeClaim"):
            return f"type=bind,source={self._node.claim(claim['claimName'], self.group)}"
        if "medium" not in volume["emptyDir"]:
            return f"type=bind,source={self._node.claim(name, self.group)}"
        options = f"o=size={size_of(volume['emptyDir']['sizeLimit'])},mode=2777,gid={self.group}"
        docker("volume", "create", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", options, name)
        self._node.volumes.append(name)
        return f"type=volume,source={name},volume-nocopy"


class Running:
    """A container of a pod, which is started once the sidecars before it have started."""

    def __init__(self, node: Node, container: Container, pod: Pod, before: Sequence[Running]) -> None:
        self._node, self._container, self._pod, self._before = node, container, pod, before
        self._spec = container.spec
        self.name = f"{pod.name}-{container.spec['name']}"
        self._stop = threading.Event()
        self._paused = threading.Event()
        self._watching = threading.Thread(target=self._watch, name=self.name, daemon=True)
        self._failures: dict[str, int] = {}
        self._due: dict[str, float] = {}
        self.started = self.ready = False
        self.restarts = 0
        self.reasons: list[str] = []
        """Why the container was restarted."""
        self.ended = (0, 0.0)
        """Exit code and seconds of the last `pause`."""
        self.grace: int = container.pod["terminationGracePeriodSeconds"]

    @property
    def url(self) -> str:
        return self._pod.url

    def start(self) -> None:
        self._watching.start()

    def kill(self) -> None:
        """Kill all processes of the container, as the kernel does when memory runs out."""
        docker("kill", "--signal", "KILL", self.name)

    def pause(self) -> None:
        """Stop the container as the kubelet does, and restart it no more."""
        self._paused.set()
        began = time.monotonic()
        self._end()
        (description,) = json.loads(docker("inspect", self.name))
        self.ended = (int(description["State"]["ExitCode"]), time.monotonic() - began)
        self.started = self.ready = False

    def go_on(self) -> None:
        self._run()
        self._paused.clear()

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
        subprocess.run(["docker", "rm", "--force", "--volumes", self.name], capture_output=True)

    def _run(self) -> None:
        spec, context = self._spec, self._container.pod["securityContext"]
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
        options += [*self._pod.mounts(spec), "--network", f"container:{self._pod.name}-pod", "--name", self.name]
        subprocess.run(["docker", "rm", "--force", self.name], capture_output=True)
        docker("run", "--detach", *options, spec["image"], *arguments)
        self._failures, self._due = {}, {}

    def _watch(self) -> None:
        """Start the container, and again when it ends or its probes fail, as often as the manifest allows."""
        while not all(sidecar.started for sidecar in self._before):
            if self._stop.wait(0.2):
                return
        self._run()
        while not self._stop.wait(_TURN):
            if not self._paused.is_set() and (reason := self._reason()) and not self._paused.is_set():
                self.started = self.ready = False
                self._end()
                self.restarts += 1
                self.reasons.append(reason)
                self._run()

    def _reason(self) -> str:
        """Ask the probes that are due. Returns why the container has to be started again, or nothing."""
        running = ["docker", "inspect", "--format", "{{.State.Running}}", self.name]
        if subprocess.run(running, capture_output=True, text=True).stdout.strip() != "true":
            return "it ended"
        for kind in ("livenessProbe", "readinessProbe") if self.started else ("startupProbe",):
            if kind not in self._spec or time.monotonic() < self._due.get(kind, 0):
                continue
            well = self.probe(kind)
            self._due[kind] = time.monotonic() + self._spec[kind]["periodSeconds"]
            self._failures[kind] = 0 if well else self._failures.get(kind, 0) + 1
            failed = self._failures[kind] >= self._spec[kind].get("failureThreshold", 3)
            if kind == "readinessProbe":
                self.ready = well or (self.ready and not failed)
            elif kind == "startupProbe" and well:
                self.started, self.ready = True, "readinessProbe" not in self._spec
            elif failed:
                return f"{kind} failed"
        return ""

    def _end(self) -> None:
        docker("stop", "--time", str(self.grace), self.name, timeout=self.grace + 60)


class Node:
    """The pods of all workloads of a cluster, one of each, on one machine. Needs root, who gives files to groups."""

    def __init__(self, objects: Sequence[Object], folder: Path, idle_image: str, network: str = "") -> None:
        """`network`: one that exists; otherwise it makes one."""
        self.cluster = Cluster(objects)
        self.name = network or f"k8s-{uuid.uuid4().hex[:8]}"
        self._makes_network = not network
        self.idle_image = idle_image
        self.volumes: list[str] = []
        self.folder = folder
        self.containers: dict[str, Running] = {}
        """By workload, such as gateway; sidecars as gateway/mirror."""
        self._pods: list[Pod] = []

    def start(self) -> None:
        """Start everything at once, as `kubectl apply` does: each waits for what it needs."""
        if self._makes_network:
            docker("network", "create", self.name)
        for workload in self.cluster.of(*WORKLOADS):
            pod = Pod(self, workload)
            self._pods.append(pod)
            pod.start()
            sidecars: list[Running] = []
            for container in self.cluster.containers():
                if container.workload is not workload:
                    continue
                running = Running(self, container, pod, tuple(sidecars))
                name = workload["metadata"]["name"]
                self.containers[f"{name}/{container.spec['name']}" if container.sidecar else name] = running
                sidecars += [running] if container.sidecar else []
                running.start()

    def wait(self, seconds: float = 400) -> None:
        """Return once all containers are ready."""
        try:
            until(lambda: all(container.ready for container in self.containers.values()), seconds)
        except AssertionError:
            states = "\n".join(container.logs() for container in self.containers.values() if not container.ready)
            raise AssertionError(f"not ready after {seconds} s:\n{states}") from None

    def remove(self) -> None:
        for container in self.containers.values():
            container.remove()
        for pod in self._pods:
            subprocess.run(["docker", "rm", "--force", "--volumes", f"{pod.name}-pod"], capture_output=True)
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
        for item in volume.get("items") or [{"key": key, "path": key} for key in secret["data"]]:
            file = folder / item["path"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(base64.b64decode(secret["data"][item["key"]]))
            file.chmod(volume["defaultMode"])
            os.chown(file, 0, group)
        return folder

"""The objects of the overlays in deploy/kubernetes, as `kubectl kustomize` renders them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support import PROJECT

FOLDER = PROJECT / "deploy" / "kubernetes"
KUBECTL = Path(sys.executable).with_name("kubectl")
WORKLOADS = ("Deployment", "StatefulSet")

Object = dict[str, Any]

_REFERENCE = re.compile(r"\$\((\w+)\)")


def kustomize(folder: Path) -> list[Object]:
    """Return the objects of a folder with a kustomization. Raises CalledProcessError."""
    run = subprocess.run([KUBECTL, "kustomize", folder], check=True, capture_output=True, text=True)
    return list(yaml.safe_load_all(run.stdout))


def users_overlay(folder: Path, text: str) -> list[Object]:
    """Return the objects of a user's overlay beside a checkout in `folder`: `text` is its kustomization, which names
    ours as ../deploy/kubernetes."""
    shutil.copytree(FOLDER, folder / "deploy" / "kubernetes", dirs_exist_ok=True)
    overlay = folder / "production"
    overlay.mkdir()
    (overlay / "kustomization.yaml").write_text(text)
    return kustomize(overlay)


def secrets(folder: Path) -> Object:
    """Return the Secret that secrets.sh prints, with its files in `folder`."""
    run = subprocess.run(
        ["sh", FOLDER / "secrets.sh", folder],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": f"{KUBECTL.parent}:/usr/local/bin:/usr/bin:/bin"},
    )
    secret: Object = yaml.safe_load(run.stdout)
    return secret


def name_of(thing: Object) -> str:
    """Return how messages name an object, as kubectl does: deployment/gateway."""
    return f"{thing['kind'].lower()}/{thing['metadata']['name']}"


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector (matchLabels and matchExpressions with In) selects these labels. An empty one selects
    everything."""
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    return wanted and all(
        expression["operator"] == "In" and labels.get(expression["key"]) in expression["values"]
        for expression in selector.get("matchExpressions", ())
    )


@dataclass
class Container:
    """A container, and what it shares with its pod. `sidecar`: an init container that goes on."""

    workload: Object
    spec: Object
    sidecar: bool

    @property
    def name(self) -> str:
        return f"{name_of(self.workload)}: container {self.spec['name']}"

    @property
    def pod(self) -> Object:
        pod: Object = self.workload["spec"]["template"]["spec"]
        return pod

    def volume(self, mount: Object) -> Object | None:
        """Return the volume of a mount; None if there is none, or if it is a template of a claim."""
        return next((volume for volume in self.pod.get("volumes", ()) if volume["name"] == mount["name"]), None)

    def mount_of(self, path: str) -> Object | None:
        """Return the mount that holds `path`; None if it is on the root file system."""
        mounts = [m for m in self.spec.get("volumeMounts", ()) if f"{path}/".startswith(f"{m['mountPath']}/")]
        return max(mounts, key=lambda mount: len(mount["mountPath"]), default=None)


@dataclass
class Cluster:
    """What is applied to a cluster."""

    objects: Sequence[Object]

    def of(self, *kinds: str) -> list[Object]:
        return [thing for thing in self.objects if thing["kind"] in kinds]

    def find(self, kind: str, name: str) -> Object | None:
        return next((thing for thing in self.of(kind) if thing["metadata"]["name"] == name), None)

    def selected(self, selector: Mapping[str, Any]) -> list[Object]:
        """Return the workloads whose pods a label selector selects."""
        return [workload for workload in self.of(*WORKLOADS) if matches(selector, labels_of(workload))]

    def containers(self) -> Iterator[Container]:
        for workload in self.of(*WORKLOADS):
            pod = workload["spec"]["template"]["spec"]
            for spec in pod.get("initContainers", ()):
                yield Container(workload, spec, sidecar=True)
            for spec in pod["containers"]:
                yield Container(workload, spec, sidecar=False)

    def environment(self, container: Container) -> tuple[dict[str, str], list[str]]:
        """Return the variables of a container, as the kubelet expands them, and the names of config maps or variables
        that do not exist."""
        variables: dict[str, str] = {}
        missing: list[str] = []
        for source in container.spec.get("envFrom", ()):
            name = source["configMapRef"]["name"]
            config_map = self.find("ConfigMap", name)
            variables |= config_map["data"] if config_map else {}
            missing += [] if config_map else [f"config map {name}"]
        for entry in container.spec.get("env", ()):
            value, end = "", 0
            for part in _REFERENCE.finditer(entry["value"]):
                if part[1] not in variables:
                    missing.append(f"variable {part[1]}")
                value += entry["value"][end : part.start()] + variables.get(part[1], part[0])
                end = part.end()
            variables[entry["name"]] = value + entry["value"][end:]
        return variables, missing


def labels_of(workload: Object) -> dict[str, str]:
    """Return the labels of a workload's pods."""
    labels: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return labels

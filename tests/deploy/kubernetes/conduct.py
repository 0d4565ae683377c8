"""Checks of what pods may do, when they are restarted, how they stop, and how they are scaled."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from broker.metrics.table import METRICS
from tests.deploy.kubernetes.manifests import WORKLOADS, Cluster, Container, Object, labels_of, matches, name_of
from tests.support import PROJECT

INTERNET = {"gateway", "events"}
"""The services that may reach other machines, as the network `public` of docker-compose.yml says."""

MARGIN = 5
"""Seconds that a pod has at least, beyond STOP_GRACE, to end."""

_LOCKED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
_GATEWAY_PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def check_conduct(cluster: Cluster) -> Iterator[str]:
    """Yield a sentence for each thing that a pod does otherwise than it should."""
    for container in cluster.containers():
        yield from _hardening(container)
        yield from _resources(container)
        yield from _probes(container)
        yield from _writes(container)
        yield from _stop(cluster, container)
    for workload in cluster.of(*WORKLOADS):
        yield from _pod(workload)
        yield from _rollout(workload)
        yield from _network(cluster, workload)
    for scaler in cluster.of("HorizontalPodAutoscaler", "ScaledObject"):
        yield from _scaler(cluster, scaler)
    for budget in cluster.of("PodDisruptionBudget"):
        for workload in cluster.selected(budget["spec"]["selector"]):
            if budget["spec"]["minAvailable"] >= _least(cluster, workload):
                yield f"{name_of(budget)} lets no node be drained: {name_of(workload)} may have no pod to spare"


def _hardening(container: Container) -> Iterator[str]:
    for name, value in _LOCKED.items():
        if container.spec.get("securityContext", {}).get(name) != value:
            yield f"{container.name}: {name} is not {json.dumps(value)}"
    if ":" not in container.spec["image"] or container.spec["image"].endswith(":latest"):
        yield f"{container.name}: the image {container.spec['image']} has no tag of a release"


def _pod(workload: Object) -> Iterator[str]:
    name, pod = name_of(workload), workload["spec"]["template"]["spec"]
    context = pod.get("securityContext", {})
    if not context.get("runAsNonRoot") or not context.get("runAsUser"):
        yield f"{name}: it may run as root"
    if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield f"{name}: it has no seccomp profile"
    if pod.get("automountServiceAccountToken") is not False:
        yield f"{name}: it gets a token of the cluster"
    if pod.get("enableServiceLinks") is not False:
        yield f"{name}: it gets variables named after services"


def _resources(container: Container) -> Iterator[str]:
    resources = container.spec.get("resources", {})
    if not {"cpu", "memory"} <= resources.get("requests", {}).keys():
        yield f"{container.name} requests no processor or no memory"
    if "memory" not in resources.get("limits", {}):
        yield f"{container.name} has no limit of memory"


def _probes(container: Container) -> Iterator[str]:
    """Without a readiness probe a container is ready once its startup probe has succeeded."""
    service = container.spec["name"]
    for kind in ("startupProbe", "livenessProbe"):
        if kind not in container.spec:
            yield f"{container.name} has no {kind}"
    if service == "gateway":
        for kind in _GATEWAY_PROBES:
            if container.spec.get(kind, {}).get("httpGet", {}).get("path") != "/health/live":
                yield f"{container.name}: {kind} asks for something other than /health/live, which needs no Redis"
    elif service != "redis":
        dockerfile = (PROJECT / service / "Dockerfile").read_text()
        asked = json.loads(re.findall(r"^HEALTHCHECK [^\[]*(\[.*\])$", dockerfile.replace("\\\n", ""), re.MULTILINE)[0])
        for kind in ("startupProbe", "livenessProbe"):
            if container.spec.get(kind, {}).get("exec", {}).get("command") != asked:
                yield f"{container.name}: {kind} is not the health check of {service}/Dockerfile"
    elif "-e" in container.spec.get("livenessProbe", {}).get("exec", {}).get("command", ()):
        yield f"{container.name}: livenessProbe restarts a Redis that waits for its file or for its disk"


def _writes(container: Container) -> Iterator[str]:
    mount = container.mount_of("/tmp")
    if not mount or mount.get("readOnly") or "emptyDir" not in (container.volume(mount) or {}):
        yield f"{container.name} cannot write to /tmp"
    models = container.mount_of("/models")
    writers = {"trainer", "mirror"}
    if models and bool(models.get("readOnly")) == (container.spec["name"] in writers):
        yield f"{container.name}: only trainer and mirror write to the model repository"


def _stop(cluster: Cluster, container: Container) -> Iterator[str]:
    grace = int(cluster.environment(container)[0].get("STOP_GRACE", "20"))
    seconds = container.pod.get("terminationGracePeriodSeconds", 30)
    if seconds < grace + MARGIN:
        yield f"{container.name} is killed after {seconds} s, and STOP_GRACE is {grace} s"


def _rollout(workload: Object) -> Iterator[str]:
    strategy = workload["spec"].get("strategy", {})
    if workload["kind"] != "Deployment":
        return
    if any("persistentVolumeClaim" in volume for volume in workload["spec"]["template"]["spec"]["volumes"]):
        if strategy != {"type": "Recreate"}:
            yield f"{name_of(workload)}: a new pod needs the volume that the old one has"
    elif strategy.get("rollingUpdate") != {"maxSurge": 1, "maxUnavailable": 0}:
        yield f"{name_of(workload)}: an old pod stops before the new one is ready"


def _network(cluster: Cluster, workload: Object) -> Iterator[str]:
    policies = [
        p["spec"] for p in cluster.of("NetworkPolicy") if matches(p["spec"]["podSelector"], labels_of(workload))
    ]
    for side in ("Ingress", "Egress"):
        if not any(side in policy["policyTypes"] for policy in policies):
            yield f"{name_of(workload)}: no network policy limits its {side.lower()}"
    service = labels_of(workload)["app.kubernetes.io/name"]
    if service not in INTERNET and any({} in policy.get("egress", ()) for policy in policies):
        yield f"{name_of(workload)} can reach every machine"
    if service != "gateway" and any("from" not in rule for policy in policies for rule in policy.get("ingress", ())):
        yield f"{name_of(workload)} can be reached from everywhere"


def _least(cluster: Cluster, workload: Object) -> int:
    """Return the least number of pods that a workload has."""
    for scaler in cluster.of("HorizontalPodAutoscaler", "ScaledObject"):
        if scaler["spec"]["scaleTargetRef"]["name"] == workload["metadata"]["name"]:
            return int(scaler["spec"].get("minReplicas", scaler["spec"].get("minReplicaCount", 0)))
    return int(workload["spec"].get("replicas", 1))


def _scaler(cluster: Cluster, scaler: Object) -> Iterator[str]:
    name, spec = name_of(scaler), scaler["spec"]
    target = cluster.find("Deployment", spec["scaleTargetRef"]["name"])
    if not target:
        yield f"{name}: there is no deployment {spec['scaleTargetRef']['name']}"
        return
    if "replicas" in target["spec"]:
        yield f"{name}: each `kubectl apply` sets the pods of {name_of(target)} back to {target['spec']['replicas']}"
    if scaler["kind"] == "ScaledObject":
        yield from _queries(cluster, scaler, target)


def _queries(cluster: Cluster, scaler: Object, target: Object) -> Iterator[str]:
    (pool,) = [c for c in cluster.containers() if c.workload is target and not c.sidecar]
    served = set(cluster.environment(pool)[0].get("WORKER_MODELS", "").split(","))
    metrics = {metric.name for metric in METRICS}
    for trigger in scaler["spec"]["triggers"]:
        query = trigger["metadata"]["query"]
        for metric in re.findall(r"modelgate_\w+", query):
            if metric not in metrics:
                yield f"{name_of(scaler)}: there is no metric {metric}"
        for models in re.findall(r'model=~"([^"]*)"', query):
            if set(models.split("|")) != served:
                yield f"{name_of(scaler)} looks at {models}, and {name_of(target)} serves {','.join(sorted(served))}"
